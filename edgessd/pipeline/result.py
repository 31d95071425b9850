"""What comes out of the pipeline for each frame."""

from __future__ import annotations

from dataclasses import dataclass

from edgessd.core.detections import Detections
from edgessd.pipeline.events import Event, RegionState
from edgessd.pipeline.frames import Frame
from edgessd.pipeline.meter import StageSeconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """One frame and what was found in it.

    Attributes:
        frame: The picture as captured.
        detections: In its pixels; with track ids where tracking is on.
        seconds: Time in each stage.
        delay: Seconds from capture to here: how old the boxes are.
        events: What happened in this frame, where tracking is on.
        regions: Lines and zones with their counts so far.
    """

    frame: Frame
    detections: Detections
    seconds: StageSeconds
    delay: float
    events: tuple[Event, ...] = ()
    regions: tuple[RegionState, ...] = ()
