"""Live sources that fail, end, hang or freeze, and come back."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from itertools import islice

import pytest

from edgessd.core.errors import SourceError
from edgessd.pipeline.frames import Frame
from edgessd.pipeline.sources.pattern import PatternSource
from edgessd.pipeline.sources.reconnect import Backoff, ReconnectingSource
from edgessd.pipeline.sources.source import Interruptible, Reconnecting, Source
from edgessd.pipeline.streams import Streams

pytestmark = pytest.mark.realtime

QUICK = Backoff(first=0.01, most=0.05, settled=60)


class Pulled(PatternSource):
    """A generated camera that fails after some frames: by an error, its end, a hang or a frozen picture."""

    def __init__(self, frames: int, how: str) -> None:
        super().__init__("pattern:64x48@100")
        self.closed = threading.Event()
        self.let_go = threading.Event()
        self._frames, self._how = frames, how

    def __iter__(self) -> Iterator[Frame]:
        last = None
        for last in islice(super().__iter__(), self._frames):
            yield last
        if self._how == "error":
            raise SourceError("the cable moved")
        if self._how == "hang":
            self.let_go.wait(60)
        while self._how == "frozen" and last is not None:
            time.sleep(0.01)
            last = Frame(
                image=last.image.copy(),
                source=last.source,
                index=last.index + 1,
                timestamp=time.time(),
                captured_at=time.perf_counter(),
            )
            yield last

    def close(self) -> None:
        super().close()
        self.closed.set()


def kept_up(*made: Source | Exception, **options: float | bool) -> ReconnectingSource:
    """Make a source whose connections are the given sources and errors, one after the other."""
    left = list(made)

    def open_next() -> Source:
        thing = left.pop(0)
        if isinstance(thing, Exception):
            raise thing
        return thing

    settings = {"stall_seconds": 0.3, "freeze_seconds": 0.0, "open_seconds": 1.0, **options}
    return ReconnectingSource(open_next, name="front door", backoff=QUICK, **settings)  # type: ignore[arg-type]


def first(source: ReconnectingSource, count: int) -> list[Frame]:
    frames = list(islice(source, count))
    source.close()
    return frames


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.edgessd["event"] for record in caplog.records if hasattr(record, "edgessd")]


@pytest.mark.parametrize("how", ["error", "end", "hang"])
def test_it_comes_back_and_continues_to_count(how: str, caplog: pytest.LogCaptureFixture) -> None:
    broken, whole = Pulled(5, how), Pulled(10_000, "end")
    source = kept_up(broken, whole)
    with caplog.at_level(logging.INFO, "edgessd"):
        frames = first(source, 12)
    broken.let_go.set()
    assert [frame.index for frame in frames[:6]] == [0, 1, 2, 3, 4, 5]
    assert [frame.index for frame in frames] == sorted({frame.index for frame in frames})
    assert {frame.source for frame in frames} == {"front door"}
    assert source.reconnects == 1
    assert events(caplog) == ["disconnected", "reconnected"]
    # Also after a hang: the hanging thread closes the source itself when its read returns.
    assert broken.closed.wait(5)


def test_the_reason_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    first(kept_up(Pulled(2, "error"), Pulled(10_000, "end")), 4)
    assert "the cable moved" in caplog.text
    caplog.clear()
    hung = Pulled(2, "hang")
    first(kept_up(hung, Pulled(10_000, "end")), 4)
    hung.let_go.set()
    assert "No further frame came in 0 s" in caplog.text


def test_an_outage_is_logged_once_however_long(caplog: pytest.LogCaptureFixture) -> None:
    tries = [SourceError(f"no route {n}") for n in range(6)]
    source = kept_up(Pulled(2, "end"), *tries, Pulled(10_000, "end"))
    with caplog.at_level(logging.INFO, "edgessd"):
        first(source, 5)
    assert events(caplog) == ["disconnected", "reconnected"]


def test_connected_is_false_during_an_outage() -> None:
    gate = threading.Event()

    def open_next() -> Source:
        if not gate.is_set():
            raise SourceError("nobody there")
        return Pulled(10_000, "end")

    source = ReconnectingSource(open_next, name="camera", wait=True, backoff=QUICK)
    assert isinstance(source, Reconnecting)
    assert isinstance(source, Interruptible)
    assert (source.connected, source.fps, source.reconnects) == (False, None, 0)
    threading.Timer(0.2, gate.set).start()
    first(source, 3)
    assert (source.fps, source.reconnects) == (100.0, 0)


def test_a_source_that_never_gave_a_frame_is_refused() -> None:
    with pytest.raises(SourceError, match="wrong path"):
        kept_up(SourceError("wrong path"))
    with pytest.raises(SourceError, match="the cable moved"):
        first(kept_up(Pulled(0, "error"), Pulled(9, "end")), 1)
    with pytest.raises(SourceError, match="opens but gives no frame"):
        first(kept_up(Pulled(0, "end"), Pulled(9, "end")), 1)


def test_a_bug_of_the_source_isn_t_an_outage() -> None:
    class Wrong(Pulled):
        def __iter__(self) -> Iterator[Frame]:
            yield from super().__iter__()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(kept_up(Wrong(3, "end")))


def test_a_source_with_a_frozen_picture_is_opened_again(caplog: pytest.LogCaptureFixture) -> None:
    source = kept_up(Pulled(3, "frozen"), Pulled(10_000, "end"), freeze_seconds=0.2)
    frames = []
    for frame in source:
        frames.append(frame)
        if source.reconnects and len(frames) > 30:
            break
    source.close()
    assert "The picture hasn't changed" in caplog.text
    assert source.reconnects == 1


def test_hung_threads_are_bounded() -> None:
    hung = [Pulled(0, "hang") for _ in range(6)]
    source = kept_up(Pulled(1, "end"), *hung, Pulled(10_000, "end"), stall_seconds=0.05)
    seen = iter(source)
    next(seen)
    reading = threading.Thread(target=next, args=(seen,), daemon=True)
    reading.start()

    def hanging() -> int:
        return sum(thread.name == "front door read" for thread in threading.enumerate())

    # Each reader stalls for 0.05 s; then its thread is joined for 1 s.
    deadline = time.monotonic() + 30
    while hanging() < 4:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(1.3)  # long enough for another one
    assert hanging() == 4
    for pulled in hung:
        pulled.let_go.set()
    reading.join(20)
    assert not reading.is_alive()
    assert source.connected
    source.close()


def test_a_wait_ends_at_once() -> None:
    hung = Pulled(1, "hang")
    source = ReconnectingSource(lambda: hung, name="camera", stall_seconds=60)
    streams = Streams([source])
    streams.start()
    assert streams.take() is not None
    start = time.monotonic()
    streams.close()
    assert time.monotonic() - start < 4  # two of them for the hanging thread
    hung.let_go.set()


def test_waits_double_with_jitter_up_to_the_maximum() -> None:
    backoff = Backoff()
    for tries, middle in ((0, 0.5), (1, 1.0), (3, 4.0)):
        waits = {backoff.seconds(tries) for _ in range(200)}
        assert len(waits) > 100
        assert min(waits) >= 0.8 * middle
        assert max(waits) <= 1.2 * middle
    assert all(24 <= backoff.seconds(1000) <= 30 for _ in range(100))
