"""What happens in front of a camera: tracks that come and go, and lines and zones that they cross."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

EventKind = Literal["appeared", "gone", "line_crossed", "zone_entered", "zone_left"]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that a tracked object did.

    Attributes:
        kind: What it did.
        region: Name of the line or zone, None for `appeared` and `gone`.
        direction: Of a crossed line, None otherwise.
        label: Class of the object.
        track_id: Its number, never used again in this run.
        score: Of the detection in this frame; of the last one for `gone`.
        box: xyxy in pixels of the frame, likewise.
        timestamp: Of the frame.
        stream: Number of the source.
    """

    kind: EventKind
    region: str | None
    direction: Literal["in", "out"] | None
    label: str
    track_id: int
    score: float
    box: Box
    timestamp: float
    stream: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RegionState:
    """A line or zone, and its counts by label since the start.

    Attributes:
        name: From the regions file.
        kind: Two points make a line, three or more a zone.
        points: (x, y) in pixels of the frame.
        inside: Objects in a zone now.
        entered: Objects that came into a zone, or crossed a line inwards.
        left: Objects that left a zone, or crossed a line outwards.
    """

    name: str
    kind: Literal["line", "zone"]
    points: tuple[tuple[float, float], ...]
    inside: Mapping[str, int]
    entered: Mapping[str, int]
    left: Mapping[str, int]
