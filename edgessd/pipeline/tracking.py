"""Tracking of one stream: objects keep their number over frames, and lines and zones count them."""

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
    """Tracks the objects of one stream.

    Objects are numbered from 1, once they were detected in `confirm_frames` frames. No number is used twice.
    A detection without a number has `NO_TRACK` (-1): its score is too low to start a track, its object is
    new, or another detection of higher score shows the same object.

    Args:
        regions: Lines, zones and settings; None for tracking without regions.

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
        """Track the objects into the next frame of the stream.

        Returns:
            The detections with `track_ids`, the events of this frame, and the state of all regions.
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
        """Advance the clock; it stops where a video restarts or the machine's time was set back."""
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
        # If the library finds an object again that was gone by the clock, it is a new object.
        track = self._tracks.setdefault(number, _Track(labels=detections.labels))
        x1, y1, x2, y2 = detections.boxes[index].tolist()
        track.box = (x1, y1, x2, y2)
        track.score = float(detections.scores[index])
        track.seen_at = self._clock
        track.votes[int(detections.class_ids[index])] += track.score
        track.waiting.append(track.box)
        return track

    def _count(self, track: _Track, frame: Frame) -> list[Event]:
        """Count a track at the regions, with its boxes from before it had its number."""
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
        labels: Classes of the detector.
        id: Number of the object; None until it is confirmed.
        box: Last box: xyxy in pixels.
        score: Score of the last box.
        seen_at: Time of the last box on the tracking's clock, in seconds.
        votes: Sum of the scores by class id. A single frame with another class changes nothing.
        waiting: Boxes that the regions haven't counted yet.
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
        """Class with the largest sum of scores."""
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
    """Return the track number of each detection, with None instead of `NO_TRACK`."""
    ids: NDArray[np.int64] | None = detections.track_ids
    if ids is None:
        return [None] * len(detections)
    return [None if number == NO_TRACK else int(number) for number in ids]
