"""Track numbers and counts, with constructed boxes and with people in a real video."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from edgessd.core.detections import Detections
from edgessd.core.errors import BackendError
from edgessd.pipeline.byte_tracker import NO_TRACK
from edgessd.pipeline.events import Event
from edgessd.pipeline.frames import Frame
from edgessd.pipeline.pipeline import Pipeline
from edgessd.pipeline.regions import Regions, TrackSettings, parse_regions
from edgessd.pipeline.sources.video import VideoSource
from edgessd.pipeline.tracking import Tracking, track_ids_of

LABELS = ("person", "car", "truck")
Found = tuple[float, float, str, float]


def detections(*found: Found) -> Detections:
    """Make detections with boxes of 40x80 pixels at (x, y), each with a label and a score."""
    ordered = sorted(found, key=lambda each: -each[3])
    return Detections(
        boxes=np.array([[x, y, x + 40, y + 80] for x, y, _, _ in ordered], np.float32).reshape(
            -1, 4
        ),
        scores=np.array([score for *_, score in ordered], np.float32),
        class_ids=np.array([LABELS.index(label) for _, _, label, _ in ordered], np.int64),
        labels=LABELS,
    )


class Camera:
    """Gives frames to a tracking, ten per second."""

    def __init__(self, regions: Regions | None = None, fps: float = 10, stream: int = 0) -> None:
        self.tracking = Tracking(regions)
        self.events: list[Event] = []
        self._image = np.zeros((240, 320, 3), np.uint8)
        self._fps, self._stream = fps, stream
        self.index = 0
        self.time = 0.0

    def show(self, *found: Found) -> list[int | None]:
        frame = Frame(
            image=self._image,
            source="drawn",
            index=self.index,
            timestamp=self.time,
            captured_at=0.0,
            stream=self._stream,
        )
        self.index += 1
        self.time += 1 / self._fps
        tracked, events, self.regions = self.tracking.update(frame, detections(*found))
        self.events += events
        return track_ids_of(tracked)

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]


def test_two_objects_that_pass_each_other_keep_their_numbers() -> None:
    camera = Camera()
    seen = [
        camera.show((20 + 8 * i, 20, "person", 0.9), (260 - 8 * i, 130, "person", 0.8))
        for i in range(25)
    ]
    # The first frame only gives the rate, the next two confirm the object.
    assert seen == [[None, None]] * 2 + [[1, 2]] * 23
    assert camera.kinds() == ["appeared", "appeared"]
    assert {event.track_id for event in camera.events} == {1, 2}


def test_an_object_hidden_for_a_moment_keeps_its_number() -> None:
    camera = Camera()
    for i in range(10):
        camera.show((20 + 4 * i, 50, "person", 0.9))
    for _ in range(8):
        camera.show()
    assert camera.show((20 + 4 * 18, 50, "person", 0.9)) == [1]


@pytest.mark.parametrize("fps", [5, 60])
def test_an_object_absent_for_too_long_comes_back_with_another_number(fps: float) -> None:
    camera = Camera(Regions(tracking=TrackSettings(lost_seconds=1.0)), fps=fps)
    for _ in range(5):
        camera.show((50, 50, "person", 0.9))
    for _ in range(round(1.5 * fps)):
        camera.show()
    assert camera.kinds() == ["appeared", "gone"]
    gone_after = camera.events[-1].timestamp - 4 / fps
    assert 1.0 < gone_after <= 1.0 + 2 / fps
    camera.show((50, 50, "person", 0.9))
    assert camera.show((50, 50, "person", 0.9)) == [2]


def test_a_detection_of_low_score_continues_a_track_and_starts_none() -> None:
    camera = Camera()
    for _ in range(3):
        camera.show((50, 50, "person", 0.9), (200, 50, "person", 0.35))
    assert camera.show((50, 50, "person", 0.35), (200, 50, "person", 0.35)) == [1, None]
    assert camera.kinds() == ["appeared"]


def test_a_detection_in_a_single_frame_gets_no_number() -> None:
    camera = Camera()
    for _ in range(3):
        camera.show()
    assert camera.show((50, 50, "person", 0.99)) == [None]
    for _ in range(30):
        camera.show()
    assert camera.events == []


def test_two_boxes_on_one_object_are_one_track() -> None:
    camera = Camera()
    for i in range(10):
        # The same car classified as a truck, and a part of it as a car.
        ids = camera.show(
            (50 + 3 * i, 50, "car", 0.9),
            (52 + 3 * i, 51, "truck", 0.8),
            (58 + 3 * i, 60, "car", 0.7),
        )
    assert ids == [1, None, None]
    assert camera.kinds() == ["appeared"]


def test_an_object_whose_class_flickers_is_counted_as_its_main_class() -> None:
    regions = parse_regions({"line": [{"name": "door", "from": [0.5, 1], "to": [0.5, 0]}]})
    camera = Camera(regions)
    for i in range(30):
        camera.show((60 + 5 * i, 50, "truck" if i % 4 == 3 else "car", 0.9))
    crossed = [event for event in camera.events if event.kind == "line_crossed"]
    assert [(event.label, event.direction, event.track_id) for event in crossed] == [
        ("car", "in", 1)
    ]
    assert camera.regions[0].entered == {"car": 1}
    assert camera.regions[0].points == ((160, 240), (160, 0))


def test_a_crossing_before_the_object_has_its_number_is_counted() -> None:
    regions = parse_regions({"line": [{"name": "door", "from": [0.5, 1], "to": [0.5, 0]}]})
    camera = Camera(regions)
    camera.show()
    camera.show()
    camera.show((125, 50, "person", 0.9))
    camera.show((150, 50, "person", 0.9))
    assert camera.kinds() == ["appeared", "line_crossed"]


def test_an_object_gone_inside_a_zone_leaves_it() -> None:
    zone = {"name": "all", "points": [[0, 0], [1, 0], [1, 1], [0, 1]]}
    camera = Camera(parse_regions({"zone": [zone]}))
    for _ in range(5):
        camera.show((100, 50, "person", 0.9))
    assert camera.regions[0].inside == {"person": 1}
    for _ in range(30):
        camera.show()
    assert camera.kinds() == ["appeared", "zone_entered", "zone_left", "gone"]
    assert camera.regions[0].inside == {}


def test_a_region_of_another_stream_is_left_out() -> None:
    line = {"name": "door", "from": [0.5, 1], "to": [0.5, 0], "stream": 1}
    regions = parse_regions({"line": [line]})
    here, there = Camera(regions), Camera(regions, stream=1)
    here.show()
    there.show()
    assert here.regions == ()
    assert [region.name for region in there.regions] == ["door"]


def test_tracks_survive_a_clock_that_is_set_back() -> None:
    camera = Camera()
    for _ in range(5):
        camera.show((50, 50, "person", 0.9))
    camera.time -= 3600
    assert camera.show((50, 50, "person", 0.9)) == [1]


def test_tracks_that_are_gone_leave_no_memory_behind() -> None:
    camera = Camera()

    def pass_by(frames: range) -> None:
        for i in frames:
            camera.show((10 + (i * 97) % 260, (i * 61) % 150, "person", 0.9))
        camera.events.clear()

    pass_by(range(400))
    tracemalloc.start()
    try:
        pass_by(range(400, 1200))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 80_000, "lost tracks keep about 180,000 bytes"


def test_detections_without_a_number_are_marked() -> None:
    camera = Camera()
    frame = Frame(
        image=np.zeros((9, 9, 3), np.uint8), source="", index=0, timestamp=0, captured_at=0
    )
    tracked, _, _ = camera.tracking.update(frame, detections((0, 0, "car", 0.9)))
    assert tracked.track_ids is not None
    assert tracked.track_ids.tolist() == [NO_TRACK]


def test_a_missing_library_is_named_with_its_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "trackforge", None)
    with pytest.raises(BackendError, match=r"edgessd\[track\]"):
        Tracking()


class EverySecondFrame(VideoSource):
    """A video at half its frame rate, which costs half the time."""

    def __iter__(self) -> Iterator[Frame]:
        return islice(super().__iter__(), 0, None, 2)


@pytest.mark.slow
def test_six_people_who_walk_by_get_six_numbers_and_cross_once_each(shared: Path) -> None:
    film = shared / "data/video/one-by-one-person-detection.mp4"
    model = shared / "data/google_ssd_mobilenet_v1_coco"
    line = {"name": "door", "from": [0.65, 1.0], "to": [0.65, 0.0], "classes": ["person"]}
    regions = parse_regions({"line": [line]})
    frames: Counter[int] = Counter()
    events: list[Event] = []
    with Pipeline(
        EverySecondFrame(str(film)),
        model / "coco_ssd_mobilenet_v1_1.0_quant_2018_06_29.tflite",
        tracking=lambda: Tracking(regions),
    ) as pipeline:
        pipeline.controls.classes = frozenset({"person"})
        pipeline.controls.score_threshold = 0.3
        for result in pipeline:
            frames.update(number for number in track_ids_of(result.detections) if number)
            events += result.events
    # Six people walk through, each in view for 12 to 27 seconds of five frames.
    assert len(frames) == 6
    assert min(frames.values()) > 50
    crossed = [event for event in events if event.kind == "line_crossed"]
    assert [event.track_id for event in crossed] == [1, 2, 3, 4, 5, 6]
    assert {event.direction for event in crossed} == {"in"}
