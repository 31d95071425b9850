"""Which images eval and compare take from a dataset, and how labels are matched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgessd.core.errors import DataError
from edgessd.data.comparison import comparison_set
from edgessd.data.evaluation import evaluation_set


def test_val_is_taken_where_there_is_no_test(yolo: Path) -> None:
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


def test_classes_the_detector_does_not_know_are_named(yolo: Path) -> None:
    with pytest.raises(DataError, match=r"dog\. Expected only cat, horse"):
        evaluation_set(yolo, ("cat", "horse"))


def test_every_split_of_a_dataset_is_compared(yolo: Path) -> None:
    chosen = comparison_set([yolo], ("cat", "dog"))
    assert len(chosen.images) == 10
    assert set(chosen.truth) == set(chosen.images)
    assert chosen.notes == ()


def test_unknown_labels_leave_the_images(yolo: Path) -> None:
    chosen = comparison_set([yolo], ("WBC",))
    assert len(chosen.images) == 10
    assert chosen.truth == {}
    assert "cat, dog" in chosen.notes[0]


def test_plain_folders_and_datasets_go_together(yolo: Path, tmp_path: Path, photo) -> None:
    photo(tmp_path / "photos" / "a.jpg", seed=50)
    chosen = comparison_set([yolo, tmp_path / "photos"], ("cat", "dog"))
    assert len(chosen.images) == 11
    assert len(chosen.truth) == 10


def test_the_images_of_one_split_are_a_plain_folder(yolo: Path) -> None:
    chosen = comparison_set([yolo / "images" / "val"], ("cat", "dog"))
    assert len(chosen.images) == 5
    assert chosen.truth == {}


def test_labels_can_be_ignored(yolo: Path) -> None:
    chosen = comparison_set([yolo], ("cat", "dog"), images_only=True)
    assert len(chosen.images) == 10
    assert chosen.truth == {}


def test_a_folder_given_twice_counts_once(yolo: Path) -> None:
    assert len(comparison_set([yolo, yolo], ("cat", "dog")).images) == 10


@pytest.mark.parametrize("images_only", [True, False])
def test_no_images_and_no_folder_are_refused(tmp_path: Path, images_only: bool) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "absent"):
        with pytest.raises(DataError):
            comparison_set([folder], ("a",), images_only=images_only)
