"""Frames of one or several sources, each source read on a thread of its own.

A live source never waits: if its frame isn't taken in time, the next frame replaces it, and the drop is
counted. A file waits: none of its frames is dropped. Sources are served in turn: every source that has a
frame ready is served before another is served twice.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

from edgessd.pipeline.bounded_queue import BoundedQueue
from edgessd.pipeline.frames import Frame
from edgessd.pipeline.sources.source import Interruptible, Source

_log = logging.getLogger(__name__)


class Taken(NamedTuple):
    """A frame that was taken.

    Attributes:
        ticket: Position in the order in which frames were taken, from 0.
        frame: The frame.
    """

    ticket: int
    frame: Frame


class Streams:
    """Reads every source ahead.

    Args:
        sources: Read from `start` until they end or `close` is called. If one of several fails, the others
            continue; its error is raised at the end.
        depth: Number of frames of a file to read ahead.
    """

    def __init__(self, sources: Sequence[Source], *, depth: int = 2) -> None:
        self.sources = tuple(sources)
        self.live = any(source.live for source in sources)
        self._changed = threading.Condition()
        self._queues = [self._queue_for(source, depth) for source in sources]
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
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def dropped(self, stream: int) -> int:
        """Return how many frames of a live source were replaced before they were taken."""
        return self._queues[stream].dropped

    def take(self) -> Taken | None:
        """Wait for the next frame; None after the last. Several threads may call it.

        Raises:
            Exception: First error of a source, once no frame is left.
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
        """Discard all frames and end. Safe in a signal handler: the condition's lock is re-entrant."""
        with self._changed:
            self._ended = True
            for queue in self._queues:
                queue.cancel()

    def close(self) -> None:
        """Stop reading, wait for the threads and close the sources."""
        self.end()
        for source in self.sources:
            # Typed as object: a Source doesn't promise to be Interruptible.
            candidate: object = source
            if isinstance(candidate, Interruptible):
                candidate.interrupt()
        for thread in self._threads:
            if thread.ident is not None:
                # If a camera hangs in its driver, the program must still end.
                thread.join(timeout=5)
        for source in self.sources:
            source.close()

    def _next(self) -> Frame | None:
        """Return the oldest frame of the next stream that has one, counting from the one served last."""
        count = len(self._queues)
        for stream in chain(range(self._turn, count), range(self._turn)):
            if (frame := self._queues[stream].take(timeout=0)) is not None:
                self._turn = (stream + 1) % count
                return frame
        return None

    def _all_ended(self) -> bool:
        return all(queue.ended for queue in self._queues)

    def _queue_for(self, source: Source, depth: int) -> BoundedQueue[Frame]:
        """Make the queue of a source: the newest frame of a live source, `depth` frames of a file."""
        return BoundedQueue(
            1 if source.live else depth, drop_oldest=source.live, condition=self._changed
        )

    def _read(self, stream: int) -> None:
        source, queue = self.sources[stream], self._queues[stream]
        try:
            for frame in source:
                if not queue.put(replace(frame, stream=stream) if stream else frame):
                    return
        except Exception as error:  # noqa: BLE001 - raised again by `take`
            with self._changed:
                self._error = self._error or error
            if len(self.sources) > 1:
                _log.warning(
                    "%s ended, the other sources continue. %s",
                    source.name,
                    error,
                    extra={"edgessd": {"event": "source_failed", "source": source.name}},
                )
        finally:
            queue.end()
