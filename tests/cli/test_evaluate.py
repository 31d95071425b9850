"""`edgessd eval` on real data and on input that must be refused."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from command_line import edgessd

from edgessd.bundle.store import Bundle, open_bundle

pytestmark = pytest.mark.slow


def test_the_voc_detector_has_its_known_accuracy(shared: Path, voc_checkpoint: Path) -> None:
    result = edgessd(
        "eval", voc_checkpoint, "--data", shared / "data/voc100", "--threads", "1", "--json"
    )
    record = result.json
    assert record["AP"] == pytest.approx(0.522, abs=0.002)
    assert record["AP50"] == pytest.approx(0.775, abs=0.002)
    assert (record["images"], record["skipped"], record["split"]) == (100, [], "all")
    assert len(record["per_class"]) == 20
    # VOC's own AP50 of the same detections is close.
    assert record["voc10_AP50"] == pytest.approx(0.770, abs=0.005)


def test_eval_writes_a_folder_and_describes_the_measurement(
    voc_checkpoint: Path, some_of_voc: Path, tmp_path: Path
) -> None:
    broken = some_of_voc / "JPEGImages" / "2007_000000.jpg"
    content = next((some_of_voc / "JPEGImages").glob("*.jpg")).read_bytes()
    annotation = next((some_of_voc / "Annotations").glob("*.xml")).read_text()
    broken.write_bytes(content[: len(content) // 2])
    (some_of_voc / "Annotations" / "2007_000000.xml").write_text(annotation)
    try:
        result = edgessd(
            *("eval", voc_checkpoint, "--data", some_of_voc),
            *("--threads", "1", "--out", tmp_path / "out"),
        )
    finally:
        broken.unlink()
        (some_of_voc / "Annotations" / "2007_000000.xml").unlink()
    assert result.out == ""
    text = " ".join(result.err.split())
    assert "COCO AP over 6 images" in text
    assert "2007_000000.jpg" in text
    assert "1 images skipped" in text
    record = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert record["images"] == 6
    assert len(record["skipped"]) == 1
    assert 0 < record["AP"] <= record["AP50"] <= 1
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"metrics.json", "pr_curves.png", "confusion.png"}


def test_eval_names_classes_the_model_does_not_know(shared: Path, voc_checkpoint: Path) -> None:
    refused = edgessd("eval", voc_checkpoint, "--data", shared / "data" / "bccd", code=1)
    assert re.search(r"RBC.*Expected only aeroplane, bicycle", refused.paragraph)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("eval", "absent.pt", "--data", "."), "no file absent.pt"),
        (("eval", "absent", "--data", "."), "no model at absent"),
    ],
)
def test_a_missing_model_is_refused(arguments, reason: str) -> None:
    assert reason in edgessd(*arguments, code=1).paragraph


@pytest.fixture
def bundle(tiny_bundles: dict[str, Bundle], tmp_path: Path) -> Path:
    shutil.copytree(tiny_bundles["host"].directory, tmp_path / "bundle")
    return tmp_path / "bundle"


def test_eval_records_what_it_measured(bundle: Path, tmp_path: Path) -> None:
    import cv2
    import numpy as np

    from edgessd.data.evaluation import evaluation_set

    root = tmp_path / "pets"
    for folder in ("images/test", "labels/test"):
        (root / folder).mkdir(parents=True)
    (root / "data.yaml").write_text(
        "names: [cat, dog, bird]\ntrain: images/test\ntest: images/test\n"
    )
    rng = np.random.default_rng(0)
    for number in range(2):
        picture = rng.integers(0, 256, (90, 120, 3), np.uint8)
        cv2.imwrite(str(root / f"images/test/{number}.png"), picture)
        (root / f"labels/test/{number}.txt").write_text(f"{number} 0.5 0.5 0.4 0.4\n")
    chosen = evaluation_set(root, ("cat", "dog", "bird"), None)
    edgessd("eval", bundle, "--data", root, "--record", "--json")
    (entry,) = open_bundle(bundle).manifest.accuracy
    assert (entry.data, entry.split, entry.images, entry.boxes) == ("pets", chosen.split, 2, 2)
    assert (entry.score_threshold, entry.iou_threshold, entry.max_candidates) == (0.01, 0.45, 400)
    assert entry.engine.startswith("litert, ")
    assert 0 <= entry.AP <= entry.AP50 <= 1


def test_a_checkpoint_has_no_manifest_to_record_in(tiny_checkpoint: Path, tmp_path: Path) -> None:
    ended = edgessd("eval", tiny_checkpoint, "--data", tmp_path, "--record", code=1)
    assert "isn't a bundle" in " ".join(ended.err.split())
