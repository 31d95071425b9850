"""Reader of a live source on a thread, which can be abandoned if the driver never returns."""

from __future__ import annotations

import threading
from collections.abc import Callable

from edgessd.pipeline.bounded_queue import BoundedQueue
from edgessd.pipeline.frames import Frame
from edgessd.pipeline.sources.source import Source

# The taker does nothing else, so more than one frame waits only if the whole machine is busy.
_CAPACITY = 2


class Reader:
    """Opens and reads a source on a thread of its own; frames are taken with a timeout.

    Only this thread uses the source. It also closes it, because closing a capture during a read that hangs
    crashes the process. The thread of an abandoned reader closes the source once the driver returns.

    Args:
        open_source: Opens the source, on the thread.
        name: Name of the thread.
        opened: Source that is open already; None to open one.

    Attributes:
        source: The source; None until it is open.
        error: Error that ended the reading; None without an error.
    """

    def __init__(
        self, open_source: Callable[[], Source], *, name: str, opened: Source | None = None
    ) -> None:
        self.source = opened
        self.error: Exception | None = None
        self._open = open_source
        self._frames: BoundedQueue[Frame] = BoundedQueue(_CAPACITY, drop_oldest=True)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """True while the thread runs."""
        return self._thread.is_alive()

    @property
    def ended(self) -> bool:
        """True if no frame will come any more. `error` has the reason; None for the end of the stream."""
        return self._frames.ended and not len(self._frames)

    def take(self, timeout: float) -> Frame | None:
        """Wait for the next frame; None after `timeout` seconds, and once `ended` or abandoned."""
        return self._frames.take(timeout=timeout)

    def abandon(self) -> None:
        """Discard all frames and wake `take`. The thread ends after its present read."""
        self._frames.cancel()

    def join(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for the thread to end."""
        self._thread.join(timeout)

    def _run(self) -> None:
        try:
            if self.source is None:
                self.source = self._open()
            for frame in self.source:
                if not self._frames.put(frame):
                    break
        except Exception as error:  # noqa: BLE001 - the taker of the frames decides
            self.error = error
        finally:
            if self.source is not None:
                self.source.close()
            self._frames.end()
