"""Results for sinks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from results import make_result

from edgessd.pipeline.events import Event, RegionState
from edgessd.pipeline.result import Result

MakeResult = Callable[..., Result]


class FrameTimes:
    """The attributes of a source that a recorder reads."""

    def __init__(self, *, live: bool, fps: float | None) -> None:
        self.live, self.fps = live, fps


@pytest.fixture
def frame_times() -> type[FrameTimes]:
    return FrameTimes


@pytest.fixture(name="make_result")
def _make_result() -> MakeResult:
    return make_result


@pytest.fixture
def crossed() -> Event:
    return event()


@pytest.fixture
def make_event() -> Callable[..., Event]:
    return event


def event(**changes: Any) -> Event:
    known: dict[str, Any] = {
        "kind": "line_crossed",
        "region": "door",
        "direction": "in",
        "label": "person",
        "track_id": 3,
        "score": 0.875,
        "box": (1.0, 2.0, 3.0, 4.0),
        "timestamp": 1.5,
        "stream": 0,
    }
    return Event(**{**known, **changes})


@pytest.fixture
def door() -> RegionState:
    return RegionState(
        name="door",
        kind="line",
        points=((48.0, 64.0), (48.0, 0.0)),
        inside={},
        entered={"person": 2},
        left={"person": 1},
    )
