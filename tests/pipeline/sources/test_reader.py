"""A reader on a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np

from edgessd.core.errors import SourceError
from edgessd.pipeline.frames import Frame
from edgessd.pipeline.sources.reader import Reader


class Numbers:
    """A source of numbered frames that can hang or fail at its end."""

    name = "numbers"
    live = True
    fps: float | None = None
    length: int | None = None

    def __init__(self, count: int, *, error: Exception | None = None) -> None:
        self.skipped: list[tuple[str, str]] = []
        self.closed = threading.Event()
        self.free = threading.Event()
        self._count, self._error = count, error

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self._count):
            yield Frame(
                image=np.zeros((2, 2, 3), np.uint8),
                source=self.name,
                index=index,
                timestamp=0.0,
                captured_at=time.perf_counter(),
            )
        if self._error is not None:
            raise self._error
        self.free.wait(10)

    def close(self) -> None:
        self.closed.set()


def test_frames_are_taken_with_a_timeout_while_the_source_hangs() -> None:
    source = Numbers(2)
    reader = Reader(lambda: source, name="test")
    frames = [reader.take(5) for _ in range(2)]
    assert [frame.index for frame in frames if frame is not None] == [0, 1]
    assert reader.take(0.01) is None
    assert reader.alive
    assert not reader.ended
    source.free.set()
    assert source.closed.wait(5)
    reader.join(5)
    assert reader.ended
    assert reader.error is None


def test_an_error_ends_the_reading_and_is_kept() -> None:
    source = Numbers(0, error=SourceError("the cable moved"))
    reader = Reader(lambda: source, name="test")
    assert reader.take(5) is None
    reader.join(5)
    assert reader.ended
    assert isinstance(reader.error, SourceError)
    assert source.closed.is_set()


def test_an_abandoned_reader_closes_its_source_once_the_driver_returns() -> None:
    source = Numbers(1)
    reader = Reader(lambda: source, name="test", opened=source)
    assert reader.take(5) is not None
    reader.abandon()
    assert reader.take(5) is None
    assert not source.closed.is_set()
    source.free.set()
    assert source.closed.wait(5)
