"""Results of a pipeline, for tests of what reads them."""

from __future__ import annotations

import time

import numpy as np

from edgessd.core.detections import Detections
from edgessd.pipeline.events import Event, RegionState
from edgessd.pipeline.frames import Frame
from edgessd.pipeline.meter import StageSeconds
from edgessd.pipeline.result import Result

LABELS = ("person", "car")


def make_result(
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
    """Make a result with the named objects. The frame has its number as gray value."""
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
