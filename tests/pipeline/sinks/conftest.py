"""Results for sinks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgessd.core.detections import Detections
from edgessd.pipeline.events import Event, RegionState
from edgessd.pipeline.frames import Frame
from edgessd.pipeline.meter import StageSeconds
from edgessd.pipeline.result import Result

LABELS = ("person", "car")
MakeResult = Callable[..., Result]


class FrameTimes:
    """The attributes of a source that a recorder reads."""

    def __init__(self, *, live: bool, fps: float | None) -> None:
        self.live, self.fps = live, fps


@pytest.fixture
def frame_times() -> type[FrameTimes]:
    return FrameTimes


@pytest.fixture
def make_result() -> MakeResult:
    """Make a result with the named objects. The frame has its number as gray value."""

    def make(
        index: int = 0,
        *labels: str,
        size: tuple[int, int] = (96, 64),
        timestamp: float | None = None,
        captured_at: float | None = None,
        stream: int = 0,
        track_ids: list[int] | None = None,
        events: tuple[Event, ...] = (),
        regions: tuple[RegionState, ...] = (),
    ) -> Result:
        count = len(labels)
        detections = Detections(
            boxes=np.array([[10, 10, 40, 50]] * count, np.float32).reshape(count, 4),
            scores=np.linspace(0.9, 0.5, count).astype(np.float32),
            class_ids=np.array([LABELS.index(label) for label in labels], np.int64),
            labels=LABELS,
            track_ids=None if track_ids is None else np.array(track_ids, np.int64),
        )
        frame = Frame(
            image=np.full((size[1], size[0], 3), (index * 5) % 250, np.uint8),
            source="film.mp4",
            index=index,
            timestamp=index / 10 if timestamp is None else timestamp,
            captured_at=time.perf_counter() if captured_at is None else captured_at,
            stream=stream,
        )
        seconds = StageSeconds(preprocess=0.001, infer=0.01, postprocess=0.001)
        return Result(
            frame=frame,
            detections=detections,
            seconds=seconds,
            delay=0.0125,
            events=events,
            regions=regions,
        )

    return make


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
