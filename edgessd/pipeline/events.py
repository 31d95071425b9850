"""Events of tracked objects, and the state of lines and zones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

EventKind = Literal["appeared", "gone", "line_crossed", "zone_entered", "zone_left"]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Event of a tracked object.

    Attributes:
        kind: Kind of the event.
        region: Name of the line or zone; None for `appeared` and `gone`.
        direction: Direction across a line; None for other kinds.
        label: Class of the object.
        track_id: Number of the object, unique in this run.
        score: Score of the detection in this frame, in [0, 1]; for `gone`, of the last detection.
        box: Box of that detection: xyxy in pixels of the frame.
        timestamp: Timestamp of the frame.
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
    """State of a line or zone, with its counts by label since the start.

    Attributes:
        name: Name in the regions file.
        kind: A line has two points, a zone three or more.
        points: (x, y) in pixels of the frame.
        inside: Number of objects in a zone at present; empty for a line.
        entered: Number of objects that entered a zone, or crossed a line inwards.
        left: Number of objects that left a zone, or crossed a line outwards.
    """

    name: str
    kind: Literal["line", "zone"]
    points: tuple[tuple[float, float], ...]
    inside: Mapping[str, int]
    entered: Mapping[str, int]
    left: Mapping[str, int]
