"""Films and images at their own speed, and over again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from edgessd.core.errors import SourceError
from edgessd.pipeline.frames import Frame
from edgessd.pipeline.sources.source import Source

# Where a source states no rate, as photos don't.
_DEFAULT_FPS = 2.0


class PlaybackSource:
    """Plays a source that isn't live as if a camera gave it, or again and again, or both.

    Paced it is live: frames come when they are due, and a detector that is too slow loses some of them,
    as it would in front of a camera. Otherwise none is lost. `Frame.timestamp` stays the position in the
    film, which goes on counting when it begins anew; images have positions too when they are paced.

    Args:
        open_source: Opens the film or images.
        pace: Give frames when they are due.
        loop: Begin anew at the end.
        fps: Pace of a source that states no rate; None for two a second.

    Raises:
        SourceError: The source can't be opened.
    """

    def __init__(
        self,
        open_source: Callable[[], Source],
        *,
        pace: bool = False,
        loop: bool = False,
        fps: float | None = None,
    ) -> None:
        self._open = open_source
        self._source = open_source()
        self._pace, self._loop = pace, loop
        self._stated = self._source.fps is not None
        self.name = self._source.name
        self.live = pace
        self.fps = self._source.fps or ((fps or _DEFAULT_FPS) if pace else None)
        self.length = None if loop else self._source.length
        # Of the first round: the others skip the same.
        self.skipped = self._source.skipped
        self.decoder = getattr(self._source, "decoder", None)
        self._ending = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        start = time.perf_counter()
        index, offset = 0, 0.0
        while True:
            end, last = offset, index - 1
            for frame in self._source:
                position = self._position(frame)
                frame = replace(
                    frame,
                    index=index + frame.index,
                    timestamp=frame.timestamp if position is None else offset + position,
                )
                if position is not None:
                    end = offset + position + (1 / self.fps if self.fps else 0.0)
                if self._pace:
                    if self._ending.wait(max(0.0, start + frame.timestamp - time.perf_counter())):
                        return
                    frame = replace(frame, captured_at=time.perf_counter())
                yield frame
                last = frame.index
            if not self._loop or self._ending.is_set():
                return
            if last < index:
                raise SourceError(
                    f"{self.name} has nothing to repeat",
                    expected="a picture that can be decoded",
                    found=f"{len(self.skipped)} that can't",
                )
            self._source.close()
            self._source = self._open()
            index, offset = last + 1, end

    def interrupt(self) -> None:
        """End the iteration soon. Any thread may call it."""
        self._ending.set()

    def close(self) -> None:
        self.interrupt()
        self._source.close()

    def _position(self, frame: Frame) -> float | None:
        """Seconds from the beginning of the source; None for photos, which have a time instead."""
        if self._stated:
            return frame.timestamp
        return frame.index / self.fps if self._pace and self.fps else None
