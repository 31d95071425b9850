"""The generated test pattern."""

from __future__ import annotations

import time
from itertools import islice

import pytest

from edgessd.core.errors import SourceError
from edgessd.pipeline.pipeline import Pipeline
from edgessd.pipeline.sources.catalog import open_source
from edgessd.pipeline.sources.pattern import PatternSource, Scene
from edgessd.runtime.detector import Detector
from edgessd.runtime.starter import starter_bundle

pytestmark = pytest.mark.realtime


@pytest.mark.parametrize(
    ("text", "shape", "fps", "live"),
    [
        ("pattern:", (480, 640, 3), None, False),
        ("pattern:320x200", (200, 320, 3), None, False),
        ("pattern:@50", (480, 640, 3), 50.0, True),
        ("pattern:1x1@100", (1, 1, 3), 100.0, True),
        ("pattern:3000x7", (7, 3000, 3), None, False),
    ],
)
def test_a_pattern_has_any_size(
    text: str, shape: tuple[int, ...], fps: float | None, live: bool
) -> None:
    source = open_source(text)
    frames = list(islice(source, 3))
    source.close()
    assert (source.fps, source.live, source.length) == (fps, live, None)
    assert {frame.image.shape for frame in frames} == {shape}


@pytest.mark.parametrize(
    "text", ["pattern:wide", "pattern:0x9", "pattern:640x480@0", "pattern:99999x9"]
)
def test_a_wrong_pattern_is_refused(text: str) -> None:
    with pytest.raises(SourceError, match="isn't a test pattern"):
        open_source(text)


def test_a_pattern_moves_and_is_the_same_in_every_run() -> None:
    one, two = Scene(320, 240), Scene(320, 240)
    assert (one.draw(7) == two.draw(7)).all()
    assert (one.draw(7) != one.draw(8)).any()
    ground = one.draw(0)
    assert (ground != ground[:, ::-1]).any()


def test_a_paced_pattern_keeps_its_rate_and_drops_late_frames() -> None:
    source = PatternSource("pattern:64x48@50")
    frames = iter(source)
    start = next(frames).captured_at
    time.sleep(0.3)
    late = next(frames)
    assert late.index == pytest.approx(0.3 * 50, abs=2)
    after = list(islice(frames, 10))[-1]
    assert after.captured_at - start == pytest.approx(after.index / 50, abs=0.05)


def test_the_starter_finds_the_codes_of_the_pattern() -> None:
    found: set[str] = set()
    with (
        Detector(starter_bundle(), threads=1) as detector,
        Pipeline("pattern:", detector) as pipeline,
    ):
        for result in islice(pipeline, 20):
            detections = result.detections
            found |= {detections.labels[number] for number in detections.class_ids}
    assert {"qrcode", "aruco"} <= found
