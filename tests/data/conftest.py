"""Small datasets with known content, written file by file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

Photo = Callable[..., Path]


@pytest.fixture
def photo() -> Photo:
    """Return a function that writes a picture; different seeds give different looks."""

    def write(path: Path, *, size: tuple[int, int] = (64, 48), seed: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
        assert cv2.imwrite(str(path), cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC))
        return path

    return write


@pytest.fixture
def yolo(tmp_path: Path, photo: Photo) -> Path:
    """Five training and five validation images of 64x48, one box each, classes cat and dog."""
    root = tmp_path / "pets"
    for split, first in (("train", 0), ("val", 5)):
        for number in range(first, first + 5):
            photo(root / "images" / split / f"{number}.jpg", seed=number)
            label = root / "labels" / split / f"{number}.txt"
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text(f"{number % 2} 0.5 0.5 0.25 0.5\n")
    (root / "data.yaml").write_text(
        "path: .\ntrain: images/train\nval: images/val\nnames:\n  0: cat\n  1: dog\n"
    )
    return root


@pytest.fixture
def voc(tmp_path: Path, photo: Photo) -> Path:
    """Six images of 64x48 in train and val, one WBC each, the annotations as LabelImg writes them."""
    root = tmp_path / "cells"
    (root / "Annotations").mkdir(parents=True)
    for number in range(6):
        photo(root / "JPEGImages" / f"{number}.jpg", seed=number)
        (root / "Annotations" / f"{number}.xml").write_text(
            "<annotation><size><width>64</width><height>48</height></size><object>"
            "<name>WBC</name><difficult>0</difficult><bndbox><xmin>11</xmin><ymin>5</ymin>"
            "<xmax>30</xmax><ymax>40</ymax></bndbox></object></annotation>"
        )
    lists = root / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("0\n1\n2\n3\n")
    (lists / "val.txt").write_text("4\n5\n")
    (lists / "trainval.txt").write_text("0\n1\n2\n3\n4\n5\n")
    return root
