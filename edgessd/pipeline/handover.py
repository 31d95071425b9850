"""Reading ahead: the next frame is decoded on its own thread while this one is being looked at."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator

from edgessd.pipeline.frames import Frame
from edgessd.pipeline.sources.source import Source


class ReadAhead:
    """Frames of a source, read on a thread of their own.

    A live source never waits: a frame that nobody took in time is replaced by the next, and counted.
    A file waits: none of its frames is lost.

    Args:
        source: Read until it ends or `close` is called. Its errors are raised again from iteration.
        depth: Frames of a file that are read ahead.
    """

    def __init__(self, source: Source, *, depth: int = 2) -> None:
        self.dropped = 0
        self._source = source
        self._depth = 1 if source.live else depth
        self._frames: deque[Frame] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._read, name="edgessd-read", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Frame]:
        while True:
            with self._changed:
                while not self._frames and not self._ended:
                    self._changed.wait()
                if not self._frames:
                    break
                frame = self._frames.popleft()
                self._changed.notify_all()
            yield frame
        if self._error is not None:
            raise self._error

    def end(self) -> None:
        """Give no further frame. Safe in a signal handler: the condition's lock is re-entrant."""
        with self._changed:
            self._ended = True
            self._frames.clear()
            self._changed.notify_all()

    def close(self) -> None:
        """Stop reading, wait for the thread, free the source."""
        self.end()
        # A camera that hangs in the driver must not keep the program from ending.
        self._thread.join(timeout=5)
        self._source.close()

    def _read(self) -> None:
        try:
            for frame in self._source:
                with self._changed:
                    if self._source.live and len(self._frames) == self._depth:
                        self._frames.popleft()
                        self.dropped += 1
                    while len(self._frames) == self._depth and not self._ended:
                        self._changed.wait()
                    if self._ended:
                        return
                    self._frames.append(frame)
                    self._changed.notify_all()
        except Exception as error:  # noqa: BLE001 - raised again in the reader of the frames
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
