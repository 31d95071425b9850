"""Reading ahead: files lose nothing, live sources keep the newest, errors come through."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from edgessd.core.errors import SourceError
from edgessd.pipeline.frames import Frame
from edgessd.pipeline.handover import ReadAhead


class CountingSource:
    """Gives numbered frames; optionally at a pace, or until it breaks."""

    fps = None
    length = None

    def __init__(
        self, count: int, *, live: bool = False, period: float = 0.0, fails: bool = False
    ) -> None:
        self.name = "counting"
        self.live = live
        self.skipped: list[tuple[str, str]] = []
        self.closed = False
        self.given = 0
        self._count, self._period, self._fails = count, period, fails

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self._count):
            time.sleep(self._period)
            self.given += 1
            yield Frame(
                image=np.zeros((2, 2, 3), np.uint8),
                source=self.name,
                index=index,
                timestamp=0.0,
                captured_at=time.perf_counter(),
            )
        if self._fails:
            raise SourceError("the cable moved")

    def close(self) -> None:
        self.closed = True


def test_file_loses_no_frame_to_a_slow_reader() -> None:
    source = CountingSource(60)
    reader = ReadAhead(source)
    seen = []
    for frame in reader:
        time.sleep(0.001)
        seen.append(frame.index)
    reader.close()
    assert seen == list(range(60))
    assert reader.dropped == 0
    assert source.closed


def test_file_is_read_no_further_ahead_than_asked() -> None:
    source = CountingSource(1000)
    reader = ReadAhead(source, depth=3)
    time.sleep(0.2)
    # Three wait in the queue and one in the reading thread's hand.
    assert source.given <= 4
    reader.close()


def test_live_source_keeps_the_newest_frame_and_counts_the_lost() -> None:
    source = CountingSource(200, live=True, period=0.001)
    reader = ReadAhead(source)
    seen = []
    for frame in reader:
        time.sleep(0.02)
        seen.append(frame.index)
    reader.close()
    assert seen == sorted(seen)
    assert seen[-1] == 199
    assert reader.dropped == 200 - len(seen) > 0


def test_error_of_the_source_reaches_the_reader_after_its_frames() -> None:
    reader = ReadAhead(CountingSource(3, fails=True))
    frames = iter(reader)
    assert [next(frames).index for _ in range(3)] == [0, 1, 2]
    with pytest.raises(SourceError, match="the cable moved"):
        next(frames)
    reader.close()


def test_end_wakes_a_waiting_reader() -> None:
    reader = ReadAhead(CountingSource(2, live=True, period=30))
    threading.Timer(0.1, reader.end).start()
    start = time.perf_counter()
    assert list(reader) == []
    assert time.perf_counter() - start < 10
