"""An accuracy in a manifest: what it names, and that the engine isn't touched."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest
from command_line import edgessd

from edgessd.bundle.manifest import FORMAT_VERSION
from edgessd.bundle.quality import Accuracy
from edgessd.bundle.store import Bundle, add_accuracy, open_bundle
from edgessd.core.errors import BundleError

FIRST = Accuracy(
    data="pets",
    split="test",
    images=72,
    boxes=300,
    score_threshold=0.01,
    iou_threshold=0.45,
    max_candidates=400,
    engine="litert, ai-edge-litert 2.3.0, XNNPACK",
    AP=0.61,
    AP50=0.9,
)


@pytest.fixture
def bundle(tiny_bundles: dict[str, Bundle], tmp_path: Path) -> Path:
    shutil.copytree(tiny_bundles["host"].directory, tmp_path / "bundle")
    return tmp_path / "bundle"


def test_it_stays_until_the_same_is_measured_again(bundle: Path) -> None:
    engine = (bundle / "engine.tflite").read_bytes()
    add_accuracy(bundle, FIRST)
    other = msgspec.structs.replace(FIRST, split="val", AP=0.7)
    add_accuracy(bundle, other)
    better = msgspec.structs.replace(FIRST, AP=0.62)
    add_accuracy(bundle, better)
    manifest = open_bundle(bundle).manifest
    assert manifest.accuracy == (other, better)
    assert manifest.format_version == FORMAT_VERSION
    assert (bundle / "engine.tflite").read_bytes() == engine


def test_a_damaged_bundle_gets_none(bundle: Path) -> None:
    engine = bundle / "engine.tflite"
    engine.write_bytes(engine.read_bytes()[:-1] + b"x")
    with pytest.raises(BundleError):
        add_accuracy(bundle, FIRST)


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
