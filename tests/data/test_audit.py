"""The audit: counts, duplicates, leaks and broken images."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import pytest

from edgessd.core.anchors import AnchorSpec, ssd_levels
from edgessd.core.contract import Preprocess
from edgessd.core.errors import DataError
from edgessd.data.audit import Audit, as_json, audit_dataset
from edgessd.data.dataset import load_dataset

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


def test_known_near_copies_in_bccd(shared: Path) -> None:
    audit = _audit(shared / "data" / "bccd")
    assert _places(audit, "leak") == (
        "JPEGImages/BloodImage_00037.jpg ~ JPEGImages/BloodImage_00038.jpg (train and val)",
    )


def test_names_a_missing_library(yolo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgessd.data.duplicates.find_spec", lambda _: None)
    with pytest.raises(DataError, match=r"imagehash.*edgessd\[host\]"):
        _audit(yolo)
