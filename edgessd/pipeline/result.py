"""Result of one frame."""

from __future__ import annotations

from dataclasses import dataclass

from edgessd.core.detections import Detections
from edgessd.pipeline.events import Event, RegionState
from edgessd.pipeline.frames import Frame
from edgessd.pipeline.meter import StageSeconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """One frame and its detections.

    Attributes:
        frame: The captured frame.
        detections: Detections with boxes in pixels of the frame, and track ids if tracking is on.
        seconds: Duration of each stage.
        delay: Seconds from capture to result: the age of the boxes.
        events: Events of this frame; () without tracking.
        regions: Lines and zones with their counts; () without regions.
    """

    frame: Frame
    detections: Detections
    seconds: StageSeconds
    delay: float
    events: tuple[Event, ...] = ()
    regions: tuple[RegionState, ...] = ()
