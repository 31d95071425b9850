"""One connection to a live source, on a thread that can be abandoned if the driver never returns."""

from __future__ import annotations

import threading
from collections.abc import Callable

from edgessd.pipeline.bounded_queue import BoundedQueue
from edgessd.pipeline.frames import Frame
from edgessd.pipeline.sources.source import Source

# The taker does nothing else, so more than one frame waits only if the whole machine is busy.
_CAPACITY = 2


class Reader:
    """Opens and reads a source on its own thread; frames are taken with a deadline.

    The thread alone touches the source, closing included: to close a capture under a read that hangs
    brings the process down. A reader that is abandoned closes its source when the driver lets go of it,
    be that never.

    Args:
        open_source: Makes the source, on the thread.
        name: Of the thread.
        opened: A source that is open already.
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
        """Whether the thread is still in there."""
        return self._thread.is_alive()

    @property
    def ended(self) -> bool:
        """Whether no frame will come any more; `error` tells why, None for the end of the stream."""
        return self._frames.ended and not len(self._frames)

    def take(self, timeout: float) -> Frame | None:
        """The next frame; None after `timeout` seconds without one, or once `ended`."""
        return self._frames.take(timeout=timeout)

    def abandon(self) -> None:
        """Take nothing more; the thread ends when it gets to it. Wakes `take`."""
        self._frames.cancel()

    def join(self, timeout: float) -> None:
        """Wait for the thread."""
        self._thread.join(timeout)

    def _run(self) -> None:
        try:
            if self.source is None:
                self.source = self._open()
            for frame in self.source:
                if not self._frames.put(frame):
                    break
        except Exception as error:  # noqa: BLE001 - whoever takes the frames judges it
            self.error = error
        finally:
            if self.source is not None:
                self.source.close()
            self._frames.end()
