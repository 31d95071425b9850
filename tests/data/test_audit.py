"""The audit: counts, duplicates, leaks, broken images, and the reach of anchors."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgessd.core.anchors import AnchorSpec, anchor_boxes, ssd_levels
from edgessd.core.boxes import cxcywh_to_xyxy, iou_matrix
from edgessd.core.contract import Preprocess
from edgessd.core.errors import ConfigError, DataError
from edgessd.data.audit import Audit, as_json, audit_dataset
from edgessd.data.dataset import load_dataset
from edgessd.data.duplicates import find_duplicates, fingerprints
from edgessd.data.reach import anchor_reach, best_iou, boxes_at_input

PREPROCESS = Preprocess(width=300, height=200)
ANCHORS = AnchorSpec(
    levels=ssd_levels(
        grids=[(13, 19), (7, 10), (1, 1)],
        scales=(0.1, 0.3, 0.7, 1.0),
        ratios=[(2.0,), (2.0, 3.0), (2.0,)],
        skip_extra_on_first=True,
    )
)


def _audit(root: Path) -> Audit:
    dataset = load_dataset(root, strict=False)
    return audit_dataset(dataset, preprocess=PREPROCESS, anchors={"standard": ANCHORS}, workers=2)


def _places(audit: Audit, kind: str) -> tuple[str, ...]:
    return next((item.where for item in audit.problems if item.kind == kind), ())


def test_counts(yolo: Path) -> None:
    audit = _audit(yolo)
    assert (audit.total.images, audit.total.boxes, audit.total.per_class) == (10, 10, (5, 5))
    assert audit.splits["train"].per_class == (3, 2)
    assert audit.image_sizes == {(64, 48): 10}
    assert audit.problems == ()
    # Each box is a quarter wide and half as high as its image: a square of sqrt(1/8) of the input.
    assert audit.box_sizes == (0, 0, 0, 0, 0, 10, 0)


def test_finds_copies_and_leaks(yolo: Path) -> None:
    train, val = yolo / "images" / "train", yolo / "images" / "val"
    shutil.copyfile(train / "0.jpg", train / "1.jpg")
    picture = cv2.imread(str(train / "3.jpg"))
    cv2.imwrite(str(val / "7.jpg"), cv2.resize(picture, (80, 60)), [cv2.IMWRITE_JPEG_QUALITY, 60])
    audit = _audit(yolo)
    assert _places(audit, "duplicate") == ("images/train/0.jpg = images/train/1.jpg (train)",)
    assert _places(audit, "leak") == ("images/train/3.jpg ~ images/val/7.jpg (train and val)",)
    assert audit.errors == ()


def test_names_a_truncated_image(yolo: Path) -> None:
    path = yolo / "images" / "val" / "6.jpg"
    path.write_bytes(path.read_bytes()[:-300])
    (yolo / "images" / "train" / "1.jpg").write_bytes(b"")
    audit = _audit(yolo)
    assert [place.split(":")[0] for place in _places(audit, "broken_image")] == [
        "images/train/1.jpg",
        "images/val/6.jpg",
    ]
    assert [problem.kind for problem in audit.errors] == ["broken_image"]
    assert as_json(audit)["ok"] is False


def test_near_copies_of_real_photos(shared: Path, tmp_path: Path) -> None:
    """Each photo is found in its smaller, brighter, coarser copy, and in nothing else."""
    photos = sorted((shared / "data" / "coco_train").glob("*.jpg"))[:40]
    copies = []
    for photo in photos[:10]:
        picture = cv2.imread(str(photo))
        changed = cv2.convertScaleAbs(cv2.resize(picture, None, fx=0.6, fy=0.6), beta=12)
        copies.append(tmp_path / photo.name)
        cv2.imwrite(str(copies[-1]), changed, [cv2.IMWRITE_JPEG_QUALITY, 55])
    groups = find_duplicates(fingerprints([*photos, *copies]))
    assert {frozenset(group.paths) for group in groups} == {
        frozenset(pair) for pair in zip(photos, copies, strict=False)
    }


def test_known_near_copies_in_bccd(shared: Path) -> None:
    audit = _audit(shared / "data" / "bccd")
    assert _places(audit, "leak") == (
        "JPEGImages/BloodImage_00037.jpg ~ JPEGImages/BloodImage_00038.jpg (train and val)",
    )


def test_reach_looks_at_the_right_anchor() -> None:
    """The nearest anchor of each shape against all anchors, on boxes that cross every border."""
    rng = np.random.default_rng(3)
    centres, sizes = rng.uniform(0, 1, (500, 2)), rng.uniform(0.01, 1.2, (500, 2))
    boxes = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1).astype(np.float32)
    everything = iou_matrix(boxes, cxcywh_to_xyxy(anchor_boxes(ANCHORS))).max(axis=1)
    np.testing.assert_allclose(best_iou(boxes, ANCHORS), everything, atol=1e-5)


def test_reach_by_size() -> None:
    # Sides in pixels of the 300x200 input: 20, 60 and 140; the last matches an anchor exactly.
    centre = np.array([0.5, 0.5])
    sides = np.array([[20 / 300, 20 / 200], [60 / 300, 60 / 200], [0.7, 0.7]])
    boxes = np.concatenate([centre - sides / 2, centre + sides / 2], axis=1).astype(np.float32)
    small, medium, large = anchor_reach(boxes, ANCHORS, PREPROCESS)
    assert (small.boxes, medium.boxes, large.boxes) == (1, 1, 1)
    assert large.reached == 1
    assert large.mean_iou == pytest.approx(1)


def test_letterboxed_boxes_move_with_their_image(yolo: Path) -> None:
    images = load_dataset(yolo).split("train")
    square = Preprocess(width=320, height=320, resize="letterbox")
    # A 64x48 image fills 320x240, 40 rows below the top.
    np.testing.assert_allclose(
        boxes_at_input(images, square)[0] * 320,
        [24 * 5, 40 + 12 * 5, 40 * 5, 40 + 36 * 5],
        rtol=1e-5,
    )


def test_reach_refuses_clipped_anchors() -> None:
    with pytest.raises(ConfigError, match="aren't clipped"):
        best_iou(np.zeros((1, 4), np.float32), AnchorSpec(levels=ANCHORS.levels, clip=True))


def test_says_which_library_is_missing(yolo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgessd.data.duplicates.find_spec", lambda _: None)
    with pytest.raises(DataError, match=r"imagehash.*edgessd\[host\]"):
        _audit(yolo)
