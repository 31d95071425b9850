"""Counters of one line or zone of one stream.

A tracked object is one point: the middle of its box's lower edge by default. It has crossed a border once it
is more than a margin beyond it, so that an object that trembles on the border is counted once.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

from edgessd.pipeline.events import Box, EventKind, RegionState
from edgessd.pipeline.regions import LineSpec, ZoneSpec

Point = tuple[float, float]
Direction = Literal["in", "out"]


class Crossing(NamedTuple):
    """Event of an object at a region, as in `Event`."""

    kind: EventKind
    region: str | None
    direction: Direction | None
    label: str


def point_of(box: Box, where: str) -> Point:
    """Return the point of an xyxy box that stands for the object."""
    left, top, right, bottom = box
    return (left + right) / 2, {"bottom": bottom, "center": (top + bottom) / 2, "top": top}[where]


class LineCounter:
    """Counts crossings of one line.

    Args:
        spec: The line.
    """

    def __init__(self, spec: LineSpec) -> None:
        self.spec = spec
        self._last: dict[int, Point] = {}
        self._in: Counter[str] = Counter()
        self._out: Counter[str] = Counter()

    def see(
        self, track: int, label: str, box: Box, points: Sequence[Point], margin: float
    ) -> list[Crossing]:
        """Take the present box of a track.

        Args:
            track: Number of the track.
            label: Class of the object.
            box: xyxy in pixels.
            points: Both ends of the line in the same pixels.
            margin: Width of the band on each side of the line, in pixels.
        """
        if self.spec.classes is not None and label not in self.spec.classes:
            return []
        start, end = points
        point = point_of(box, self.spec.point)
        side = _side(point, start, end)
        if abs(side) <= margin:
            return []
        # The last point outside the band around the line. Inside the band an object is on neither side.
        last = self._last.get(track)
        self._last[track] = point
        if last is None or (_side(last, start, end) > 0) == (side > 0):
            return []
        if not _passes_between(last, point, start, end):
            return []
        direction: Direction = "in" if side > 0 else "out"
        (self._in if direction == "in" else self._out)[label] += 1
        return [Crossing("line_crossed", self.spec.name, direction, label)]

    def forget(self, track: int) -> list[Crossing]:
        """Remove a track that is gone."""
        self._last.pop(track, None)
        return []

    def state(self, points: Sequence[Point]) -> RegionState:
        """Return the counts since the start."""
        return RegionState(
            name=self.spec.name,
            kind="line",
            points=tuple(points),
            inside={},
            entered=dict(self._in),
            left=dict(self._out),
        )


class ZoneCounter:
    """Counts objects that enter and leave one zone. Always inside = entered - left.

    An object that appears inside the zone has entered it. One that is gone while inside has left it.

    Args:
        spec: The zone.
    """

    def __init__(self, spec: ZoneSpec) -> None:
        self.spec = spec
        # Label at entry by track: an object leaves with the label that it entered with, even if its class
        # has changed since.
        self._inside: dict[int, str] = {}
        self._entered: Counter[str] = Counter()
        self._left: Counter[str] = Counter()

    def see(
        self, track: int, label: str, box: Box, points: Sequence[Point], margin: float
    ) -> list[Crossing]:
        """Take the present box of a track, see `LineCounter.see`."""
        known = track in self._inside
        if not known and self.spec.classes is not None and label not in self.spec.classes:
            return []
        depth = _depth(point_of(box, self.spec.point), points)
        if known and depth < -margin:
            return self.forget(track)
        if not known and depth > margin:
            self._inside[track] = label
            self._entered[label] += 1
            return [Crossing("zone_entered", self.spec.name, None, label)]
        return []

    def forget(self, track: int) -> list[Crossing]:
        """Remove a track that is gone; if it was inside, it has left the zone."""
        label = self._inside.pop(track, None)
        if label is None:
            return []
        self._left[label] += 1
        return [Crossing("zone_left", self.spec.name, None, label)]

    def state(self, points: Sequence[Point]) -> RegionState:
        """Return the counts since the start."""
        return RegionState(
            name=self.spec.name,
            kind="zone",
            points=tuple(points),
            inside=dict(Counter(self._inside.values())),
            entered=dict(self._entered),
            left=dict(self._left),
        )


def _side(point: Point, start: Point, end: Point) -> float:
    """Return the signed distance in pixels from a line.

    It is positive to the right of a person who looks from start to end, as y grows downwards.
    """
    dx, dy = end[0] - start[0], end[1] - start[1]
    return (dx * (point[1] - start[1]) - dy * (point[0] - start[0])) / math.hypot(dx, dy)


def _passes_between(before: Point, after: Point, start: Point, end: Point) -> bool:
    """Check that the path from `before` to `after`, on opposite sides, meets the line between its ends."""
    first, second = _side(before, start, end), _side(after, start, end)
    share = first / (first - second)
    x = before[0] + share * (after[0] - before[0])
    y = before[1] + share * (after[1] - before[1])
    dx, dy = end[0] - start[0], end[1] - start[1]
    along = ((x - start[0]) * dx + (y - start[1]) * dy) / (dx * dx + dy * dy)
    return 0 <= along <= 1


def _depth(point: Point, polygon: Sequence[Point]) -> float:
    """Return the distance in pixels to the nearest edge of a polygon; it is negative outside."""
    x, y = point
    inside, nearest = False, math.inf
    for (x1, y1), (x2, y2) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            inside = not inside
        nearest = min(nearest, _distance(point, (x1, y1), (x2, y2)))
    return nearest if inside else -nearest


def _distance(point: Point, start: Point, end: Point) -> float:
    """Return the distance from a point to a line segment."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = dx * dx + dy * dy
    share = ((point[0] - start[0]) * dx + (point[1] - start[1]) * dy) / length if length else 0.0
    share = min(1.0, max(0.0, share))
    return math.hypot(point[0] - start[0] - share * dx, point[1] - start[1] - share * dy)
