"""Frames of one source or several, each read on a thread of its own, taken in turn.

A live source never waits: a frame that nobody took in time is replaced by the next, and counted. A file
waits: none of its frames is lost. A fast source doesn't starve a slow one: whoever has a frame ready is
served before another is served twice.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

from edgessd.pipeline.frames import Frame
from edgessd.pipeline.sources.source import Interruptible, Source

_log = logging.getLogger(__name__)


class Taken(NamedTuple):
    """A frame, and its place in the order in which frames were taken."""

    ticket: int
    frame: Frame


class Streams:
    """Reads ahead on every source.

    Args:
        sources: Read from `start` until they end or `close` is called. Of several, one that fails is
            left out and the others go on; its error comes at the end.
        depth: Frames of a file that are read ahead.
    """

    def __init__(self, sources: Sequence[Source], *, depth: int = 2) -> None:
        self.sources = tuple(sources)
        self.live = any(source.live for source in sources)
        self._changed = threading.Condition()
        self._readers: list[_Reader] = [_Reader(source, depth) for source in sources]
        self._turn = 0
        self._tickets = 0
        self._ended = False
        self._error: Exception | None = None
        self._threads = [
            threading.Thread(
                target=self._read, args=(number,), name=f"edgessd-read {number}", daemon=True
            )
            for number in range(len(sources))
        ]

    def start(self) -> None:
        """Begin to read."""
        for thread in self._threads:
            thread.start()

    def dropped(self, stream: int) -> int:
        """Frames of a live source that were replaced before anyone took them."""
        return self._readers[stream].dropped

    def take(self) -> Taken | None:
        """The next frame, None after the last. Several threads may take.

        Raises:
            Exception: What a source failed with, once there is no frame left.
        """
        with self._changed:
            while (frame := self._next()) is None and not self._all_ended():
                self._changed.wait()
            if frame is None:
                error, self._error = self._error, None
                if error is not None and not self._ended:
                    raise error
                return None
            self._tickets += 1
            self._changed.notify_all()
            return Taken(self._tickets - 1, frame)

    def end(self) -> None:
        """Give no further frame. Safe in a signal handler: the condition's lock is re-entrant."""
        with self._changed:
            self._ended = True
            for reader in self._readers:
                reader.frames.clear()
            self._changed.notify_all()

    def close(self) -> None:
        """Stop reading, wait for the threads, free the sources."""
        self.end()
        for source in self.sources:
            waiting: object = source
            if isinstance(waiting, Interruptible):
                waiting.interrupt()
        for thread in self._threads:
            if thread.ident is not None:
                # A camera that hangs in the driver must not keep the program from ending.
                thread.join(timeout=5)
        for source in self.sources:
            source.close()

    def _next(self) -> Frame | None:
        """The oldest frame of the first stream that has one, beginning after the one served last."""
        count = len(self._readers)
        for stream in chain(range(self._turn, count), range(self._turn)):
            if self._readers[stream].frames:
                self._turn = (stream + 1) % count
                return self._readers[stream].frames.popleft()
        return None

    def _all_ended(self) -> bool:
        return self._ended or all(reader.ended for reader in self._readers)

    def _read(self, stream: int) -> None:
        source, reader = self.sources[stream], self._readers[stream]
        try:
            for frame in source:
                if not self._give(reader, replace(frame, stream=stream) if stream else frame):
                    return
        except Exception as error:  # noqa: BLE001 - raised again by `take`
            with self._changed:
                self._error = self._error or error
            if len(self.sources) > 1:
                _log.warning(
                    "%s ended, the others go on. %s",
                    source.name,
                    error,
                    extra={"edgessd": {"event": "source_failed", "source": source.name}},
                )
        finally:
            with self._changed:
                reader.ended = True
                self._changed.notify_all()

    def _give(self, reader: _Reader, frame: Frame) -> bool:
        """Put a frame where it can be taken; False if nobody takes any more."""
        with self._changed:
            if reader.live and reader.frames:
                reader.frames.popleft()
                reader.dropped += 1
            while len(reader.frames) >= reader.depth and not self._ended:
                self._changed.wait()
            if self._ended:
                return False
            reader.frames.append(frame)
            self._changed.notify_all()
            return True


class _Reader:
    """What one reading thread has ready. Changed under the condition of its streams alone."""

    def __init__(self, source: Source, depth: int) -> None:
        self.live = source.live
        self.depth = 1 if source.live else depth
        self.frames: deque[Frame] = deque()
        self.dropped = 0
        self.ended = False
