"""Reading ahead: files lose no frame, live sources keep the newest, sources are served in turn."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest

from edgessd.core.errors import SourceError
from edgessd.pipeline.frames import Frame
from edgessd.pipeline.streams import Streams

pytestmark = pytest.mark.realtime


class CountingSource:
    """Gives numbered frames, with an optional pause between them and an optional error at the end."""

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


def started(sources: list[CountingSource], **options: int) -> Streams:
    streams = Streams(sources, **options)
    streams.start()
    return streams


def frames_of(streams: Streams) -> Iterator[Frame]:
    while (taken := streams.take()) is not None:
        yield taken.frame


def test_file_loses_no_frame_to_a_slow_reader() -> None:
    source = CountingSource(60)
    streams = started([source])
    seen = []
    for frame in frames_of(streams):
        time.sleep(0.001)
        seen.append(frame.index)
    streams.close()
    assert seen == list(range(60))
    assert streams.dropped(0) == 0
    assert source.closed


def test_file_is_read_ahead_by_depth_frames() -> None:
    source = CountingSource(1000)
    streams = started([source], depth=3)
    # Three frames wait in the queue; the reading thread holds one more.
    while source.given < 4:
        time.sleep(0.001)
    time.sleep(0.05)
    assert source.given == 4
    streams.close()


def test_live_source_keeps_the_newest_frame_and_counts_the_dropped() -> None:
    streams = started([CountingSource(200, live=True, period=0.001)])
    seen = []
    for frame in frames_of(streams):
        time.sleep(0.02)
        seen.append(frame.index)
    streams.close()
    assert seen == sorted(seen)
    assert seen[-1] == 199
    assert streams.dropped(0) == 200 - len(seen) > 0


def test_error_of_the_source_is_raised_after_its_frames() -> None:
    streams = started([CountingSource(3, fails=True)])
    frames = frames_of(streams)
    assert [next(frames).index for _ in range(3)] == [0, 1, 2]
    with pytest.raises(SourceError, match="the cable moved"):
        next(frames)
    streams.close()


def test_end_wakes_a_waiting_take() -> None:
    streams = started([CountingSource(2, live=True, period=30)])
    threading.Timer(0.1, streams.end).start()
    start = time.perf_counter()
    assert list(frames_of(streams)) == []
    assert time.perf_counter() - start < 10


def test_a_fast_source_does_not_starve_a_slow_one() -> None:
    fast = CountingSource(10_000, live=True, period=0.0005)
    slow = CountingSource(20, live=True, period=0.03)
    streams = started([fast, slow])
    seen: list[Frame] = []
    for frame in frames_of(streams):
        time.sleep(0.02)  # slower than either
        seen.append(frame)
        if len(seen) == 40:
            break
    streams.close()
    of_the_slow = [frame.index for frame in seen if frame.stream == 1]
    assert of_the_slow == sorted(of_the_slow)
    assert 12 <= len(of_the_slow) <= 20
    assert streams.dropped(0) > streams.dropped(1)


def test_two_files_are_read_to_their_ends() -> None:
    sources = [CountingSource(30), CountingSource(7)]
    streams = started(sources)
    while (
        min(source.given for source in sources) < 3
    ):  # two of each wait, the thread holds the third
        time.sleep(0.001)
    seen = [(frame.stream, frame.index) for frame in frames_of(streams)]
    streams.close()
    assert sorted(seen) == [(0, i) for i in range(30)] + [(1, i) for i in range(7)]
    assert {stream for stream, _ in seen[:6]} == {0, 1}


def test_the_others_continue_if_one_fails_and_its_error_comes_last(
    caplog: pytest.LogCaptureFixture,
) -> None:
    streams = started([CountingSource(5, fails=True), CountingSource(40, period=0.001)])
    frames = frames_of(streams)
    assert len(list(islice(frames, 45))) == 45
    with pytest.raises(SourceError, match="the cable moved"):
        next(frames)
    streams.close()
    assert [record.message for record in caplog.records] == [
        "counting ended, the other sources continue. the cable moved."
    ]
