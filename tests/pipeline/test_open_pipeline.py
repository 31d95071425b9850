"""A pipeline from options: each source with its own regions, classes and threshold, over real films."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from edgessd.core.errors import ConfigError, SourceError
from edgessd.pipeline.open_pipeline import open_pipeline
from edgessd.pipeline.options.run import DetectorOptions, RunOptions
from edgessd.pipeline.options.source import SourceOptions

DOOR = """
[[line]]
name = "door"
from = [0.65, 1.0]
to = [0.65, 0.0]
"""
YARD = """
[[zone]]
name = "yard"
points = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]

[tracking]
start_score = 0.4
confirm_frames = 1
"""
FRAMES = 150  # of each film; the first person appears, and crosses no line yet


@pytest.fixture(scope="module")
def model(shared: Path) -> DetectorOptions:
    folder = shared / "data/google_ssd_mobilenet_v1_coco"
    return DetectorOptions(path=folder / "coco_ssd_mobilenet_v1_1.0_quant_2018_06_29.tflite")


@pytest.mark.slow
def test_two_films_with_regions_and_classes_of_their_own(
    shared: Path, model: DetectorOptions, tmp_path: Path
) -> None:
    (tmp_path / "door.toml").write_text(DOOR)
    (tmp_path / "yard.toml").write_text(YARD)
    films = shared / "data/video"
    people = SourceOptions(
        address=str(films / "one-by-one-person-detection.mp4"),
        regions=tmp_path / "door.toml",
        classes=("person",),
        threshold=0.3,
    )
    # What this model takes the cars of the second film for, seen from above.
    things = SourceOptions(
        address=str(films / "car-detection.mp4"),
        regions=tmp_path / "yard.toml",
        classes=("airplane", "cell phone"),
        threshold=0.4,
    )
    plain = SourceOptions(address=str(films / "car-detection.mp4"), threshold=0.5)
    labels: list[Counter[str]] = [Counter(), Counter(), Counter()]
    lowest = [1.0, 1.0, 1.0]
    regions: list[set[str]] = [set(), set(), set()]
    kinds: list[set[str]] = [set(), set(), set()]
    with open_pipeline(RunOptions(source=(people, things, plain), model=model)) as pipeline:
        for result in pipeline:
            stream = result.frame.stream
            regions[stream] |= {region.name for region in result.regions}
            kinds[stream] |= {event.kind for event in result.events}
            for label, score, _ in result.detections.named():
                labels[stream][label] += 1
                lowest[stream] = min(lowest[stream], score)
            if pipeline.meter.frames == 3 * FRAMES:
                break
    assert regions == [{"door"}, {"yard"}, set()]
    assert set(labels[0]) == {"person"}
    assert set(labels[1]) == {"airplane", "cell phone"}
    # A stream without a choice gets what the others leave out.
    assert set(labels[2]) - {"airplane", "cell phone"}
    assert 0.3 < lowest[0] <= 0.4
    assert 0.4 < lowest[1] <= 0.5
    assert 0.5 < lowest[2]
    assert "appeared" in kinds[0]
    assert "zone_entered" in kinds[1]
    assert kinds[2] == set()


def test_an_unknown_label_is_refused(shared: Path, model: DetectorOptions, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(DOOR + 'classes = ["unicorn"]\n')
    pattern = SourceOptions(address="pattern:64x48")
    for wrong in (
        SourceOptions(address="pattern:64x48", classes=("unicorn",)),
        SourceOptions(address="pattern:64x48", regions=tmp_path / "r.toml"),
    ):
        with (
            pytest.raises(ConfigError, match="unicorn"),
            open_pipeline(RunOptions(source=(pattern, wrong), model=model)),
        ):
            pass


def test_a_missing_source_is_refused(tmp_path: Path) -> None:
    absent = SourceOptions(address=str(tmp_path / "absent.mp4"))
    options = RunOptions(source=(SourceOptions(address="pattern:64x48"), absent))
    with pytest.raises(SourceError, match="absent"), open_pipeline(options):
        pass
