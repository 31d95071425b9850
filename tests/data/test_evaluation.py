"""Images to evaluate a detector on: the choice of the split, and labels matched by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgessd.core.errors import DataError
from edgessd.data.evaluation import evaluation_set


def test_val_is_taken_without_a_test_split(yolo: Path) -> None:
    chosen = evaluation_set(yolo, ("cat", "dog"))
    assert (chosen.split, chosen.data, len(chosen.images)) == ("val", "pets", 5)
    assert chosen.unseen == ()


def test_test_comes_before_val(voc: Path) -> None:
    (voc / "ImageSets" / "Main" / "test.txt").write_text("3\n")
    (voc / "ImageSets" / "Main" / "train.txt").write_text("0\n1\n2\n")
    chosen = evaluation_set(voc, ("WBC",))
    assert (chosen.split, len(chosen.images)) == ("test", 1)
    assert evaluation_set(voc, ("WBC",), "train+val").split == "train+val"


def test_labels_are_matched_by_name(yolo: Path) -> None:
    chosen = evaluation_set(yolo, ("dog", "horse", "cat"))
    classes = np.concatenate([image.class_ids for image in chosen.images])
    assert sorted(classes.tolist()) == [0, 0, 0, 2, 2]  # images 5 to 9: dog where odd
    assert chosen.unseen == ("horse",)


def test_unknown_classes_are_refused_by_name(yolo: Path) -> None:
    with pytest.raises(DataError, match=r"dog\. Expected only cat, horse"):
        evaluation_set(yolo, ("cat", "horse"))
