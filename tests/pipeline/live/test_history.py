"""Samples and events for the plots of the live page."""

from __future__ import annotations

import pytest
from results import make_result

from edgessd.pipeline.events import Event
from edgessd.pipeline.live.history import History


def _event(number: int) -> Event:
    return Event(
        kind="line_crossed",
        region="door",
        direction="in",
        label="person",
        track_id=number,
        score=0.9,
        box=(1.0, 2.0, 3.0, 4.0),
        timestamp=float(number),
        stream=0,
    )


def test_a_sample_has_the_results_since_the_last_one() -> None:
    history = History(lambda: 47.25)
    assert history.latest() is None
    history.record(make_result(0, "person", "person"))
    history.record(make_result(1, "car"))
    sample = history.sample(dropped=4)
    assert sample.fps > 0
    assert sample.dropped > 0
    assert sample.celsius == pytest.approx(47.2, abs=0.1)
    assert sample.latency_p50_ms == pytest.approx(12.0)
    assert sample.delay_p50_ms == pytest.approx(12.5)
    assert history.frames_with() == {"person": 1, "car": 1}
    empty = history.sample(dropped=4)
    assert (empty.fps, empty.dropped, empty.delay_p95_ms) == (0, 0, None)
    assert [entry["fps"] for entry in history.samples()] == [sample.fps, 0]


def test_events_are_numbered_and_the_last_hundred_are_kept() -> None:
    history = History(lambda: None)
    for number in range(120):
        history.record(make_result(number, events=(_event(number),)))
    assert len(history.events_after(0)) == 100
    assert [event["track_id"] for event in history.events_after(118)] == [118, 119]
    assert history.events_after(120) == []
