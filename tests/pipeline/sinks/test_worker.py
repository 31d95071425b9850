"""A sink behind its queue."""

from __future__ import annotations

import logging
import threading

import pytest
from results import make_result

from edgessd.core.errors import SinkError
from edgessd.pipeline.result import Result
from edgessd.pipeline.sinks.worker import SinkWorker


class Notebook:
    """A sink that notes the number of each frame, and can wait or fail."""

    name = "notebook"
    lossless = True

    def __init__(self, *, own_thread: bool = True, error: Exception | None = None) -> None:
        self.own_thread = own_thread
        self.frames: list[int] = []
        self.closed = 0
        self.free = threading.Event()
        self.free.set()
        self.begun = threading.Event()
        self._error = error

    def write(self, result: Result) -> None:
        self.begun.set()
        self.free.wait()
        if self._error is not None:
            raise self._error
        self.frames.append(result.frame.index)

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("own_thread", [True, False])
def test_all_results_are_written_before_the_sink_is_closed(own_thread: bool) -> None:
    sink = Notebook(own_thread=own_thread)
    worker = SinkWorker(sink, live=False)
    for index in range(30):
        worker.put(make_result(index))
    worker.close()
    assert sink.frames == list(range(30))
    assert sink.closed == 1
    status = worker.status
    assert (status.written, status.lost, status.failed) == (30, 0, None)


def test_a_slow_sink_of_a_live_source_loses_the_oldest_results() -> None:
    sink = Notebook()
    sink.free.clear()
    worker = SinkWorker(sink, live=True)
    worker.put(make_result(0))
    assert sink.begun.wait(5)
    for index in range(1, 21):
        worker.put(make_result(index))
    sink.free.set()
    worker.close()
    assert (sink.frames[0], sink.frames[-1]) == (0, 20)
    assert sink.frames[1:] == sorted(sink.frames[1:])
    assert worker.status.lost == 21 - len(sink.frames) > 0


def test_a_sink_that_fails_is_closed_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    sink = Notebook(own_thread=False, error=SinkError("The disk is full"))
    worker = SinkWorker(sink, live=False)
    worker.put(make_result(0))
    worker.put(make_result(1))
    assert (worker.status.failed, worker.status.written) == ("The disk is full.", 0)
    assert sink.closed == 1
    assert len(caplog.records) == 1


def test_another_error_is_raised_to_the_pipeline() -> None:
    worker = SinkWorker(Notebook(error=ZeroDivisionError("a bug")), live=False)
    worker.put(make_result(0))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        worker.close()
