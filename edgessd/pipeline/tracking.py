"""Objects keep their number from frame to frame, and lines and zones count them."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from edgessd.core.detections import Detections
from edgessd.pipeline.byte_tracker import NO_TRACK, ByteTracker
from edgessd.pipeline.events import Box, Event, EventKind, RegionState
from edgessd.pipeline.frames import Frame
from edgessd.pipeline.region_counter import Crossing, LineCounter, Point, ZoneCounter
from edgessd.pipeline.regions import LineSpec, Regions


class Tracking:
    """Follows the objects of one stream.

    Numbers count from 1, are given once an object was seen in `confirm_frames` frames, and are never used
    again. A detection without one has `NO_TRACK` (-1): it was too weak to start a track, was seen for the
    first time, or shows what a better detection shows.

    Args:
        regions: Lines, zones and settings; None only numbers.

    Raises:
        BackendError: The tracking library isn't installed.

    Example:
        Pipeline("film.mp4", "dist/cells-host", tracking=lambda: Tracking(regions))
    """

    def __init__(self, regions: Regions | None = None) -> None:
        self._regions = regions or Regions()
        self._settings = self._regions.tracking
        self._tracker = ByteTracker(self._settings)
        self._tracks: dict[int, _Track] = {}
        self._given = 0
        self._clock = 0.0
        self._timestamp: float | None = None
        self._counters: list[LineCounter | ZoneCounter] | None = None
        self._size = (0, 0)
        self._points: list[tuple[Point, ...]] = []

    def update(
        self, frame: Frame, detections: Detections
    ) -> tuple[Detections, tuple[Event, ...], tuple[RegionState, ...]]:
        """Take the next frame of the stream.

        Returns:
            The detections with `track_ids`, what happened in this frame, and all regions.
        """
        self._advance(frame.timestamp)
        self._place_regions(frame)
        events = self._forget_the_gone(frame)
        ids = np.full(len(detections), NO_TRACK, np.int64)
        numbers = self._tracker.update(detections, self._clock)
        for index in np.flatnonzero(numbers != NO_TRACK):
            track = self._see(int(numbers[index]), detections, int(index))
            if track.id is None and len(track.waiting) >= self._settings.confirm_frames:
                self._given += 1
                track.id = self._given
                events.append(_event("appeared", track, frame))
            if track.id is not None:
                ids[index] = track.id
                events += self._count(track, frame)
        counters = self._counters or []
        states = [
            counter.state(points) for counter, points in zip(counters, self._points, strict=True)
        ]
        return replace(detections, track_ids=ids), tuple(events), tuple(states)

    def _advance(self, timestamp: float) -> None:
        """The clock stands where a film starts anew or the machine's time was set back."""
        if self._timestamp is not None:
            self._clock += max(0.0, timestamp - self._timestamp)
        self._timestamp = timestamp

    def _place_regions(self, frame: Frame) -> None:
        if self._counters is None:
            self._counters = [
                LineCounter(spec) if isinstance(spec, LineSpec) else ZoneCounter(spec)
                for spec in self._regions.all
                if spec.stream in (None, frame.stream)
            ]
        if self._size != (frame.width, frame.height):
            self._size = frame.width, frame.height
            self._points = [
                self._regions.pixels(counter.spec, *self._size) for counter in self._counters
            ]

    def _see(self, number: int, detections: Detections, index: int) -> _Track:
        # What the library finds again after it was gone by the clock is a new object.
        track = self._tracks.setdefault(number, _Track(labels=detections.labels))
        x1, y1, x2, y2 = detections.boxes[index].tolist()
        track.box = (x1, y1, x2, y2)
        track.score = float(detections.scores[index])
        track.seen_at = self._clock
        track.votes[int(detections.class_ids[index])] += track.score
        track.waiting.append(track.box)
        return track

    def _count(self, track: _Track, frame: Frame) -> list[Event]:
        """Show a track to the regions, with the places where it was before it had its number."""
        assert track.id is not None
        margin = self._regions.margin * math.hypot(*self._size)
        crossings: list[Crossing] = []
        for box in track.waiting:
            for counter, points in zip(self._counters or [], self._points, strict=True):
                crossings += counter.see(track.id, track.label, box, points, margin)
        track.waiting.clear()
        return [_crossing_event(crossing, track, frame) for crossing in crossings]

    def _forget_the_gone(self, frame: Frame) -> list[Event]:
        events: list[Event] = []
        for number, track in list(self._tracks.items()):
            if self._clock - track.seen_at <= self._settings.lost_seconds:
                continue
            del self._tracks[number]
            if track.id is None:
                continue
            for counter in self._counters or []:
                crossings = counter.forget(track.id)
                events += [_crossing_event(crossing, track, frame) for crossing in crossings]
            events.append(_event("gone", track, frame))
        return events


@dataclass(slots=True)
class _Track:
    """One object.

    Attributes:
        id: Its public number, once it has one.
        votes: Summed scores of each class: a car that is a truck for a frame stays a car.
        waiting: Boxes that the regions haven't seen.
    """

    labels: tuple[str, ...]
    id: int | None = None
    box: Box = (0.0, 0.0, 0.0, 0.0)
    score: float = 0.0
    seen_at: float = 0.0
    votes: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    waiting: list[Box] = field(default_factory=list)

    @property
    def label(self) -> str:
        """The class that it was seen as most."""
        return self.labels[max(self.votes, key=lambda class_id: self.votes[class_id])]


def _event(kind: EventKind, track: _Track, frame: Frame) -> Event:
    return _crossing_event(Crossing(kind, None, None, track.label), track, frame)


def _crossing_event(crossing: Crossing, track: _Track, frame: Frame) -> Event:
    assert track.id is not None
    return Event(
        kind=crossing.kind,
        region=crossing.region,
        direction=crossing.direction,
        label=crossing.label,
        track_id=track.id,
        score=track.score,
        box=track.box,
        timestamp=frame.timestamp,
        stream=frame.stream,
    )


def track_ids_of(detections: Detections) -> list[int | None]:
    """Each detection's track number as data formats want it: None where it has none."""
    ids: NDArray[np.int64] | None = detections.track_ids
    if ids is None:
        return [None] * len(detections)
    return [None if number == NO_TRACK else int(number) for number in ids]
