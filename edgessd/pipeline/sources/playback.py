"""Playback of a video or images at their own speed, or in a loop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from edgessd.core.errors import SourceError
from edgessd.pipeline.frames import Frame
from edgessd.pipeline.sources.source import Source

# Rate of sources that state none, such as photos.
_DEFAULT_FPS = 2.0


class PlaybackSource:
    """Plays a source that isn't live at its own speed, in a loop, or both.

    A paced source is live: frames come when they are due, and are dropped if the detector is too slow, as
    with a camera. Otherwise no frame is dropped. `Frame.timestamp` is the position in the video, which
    continues to grow in the next round. Paced images have positions too.

    Args:
        open_source: Opens the video or images.
        pace: True to give frames when they are due.
        loop: True to start again at the end.
        fps: Pace of a source that states no rate; None for two frames per second.

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
        # Those of the first round; the other rounds skip the same.
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
                    expected="at least one picture that can be decoded",
                    found=f"{len(self.skipped)} that can't be decoded",
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
        """Return the seconds from the beginning of the source; None for photos, which have a time instead."""
        if self._stated:
            return frame.timestamp
        return frame.index / self.fps if self._pace and self.fps else None
