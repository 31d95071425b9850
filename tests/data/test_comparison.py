"""Images for the comparison of detectors, from datasets and plain folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgessd.core.errors import DataError
from edgessd.data.comparison import comparison_set


def test_every_split_of_a_dataset_is_compared(yolo: Path) -> None:
    chosen = comparison_set([yolo], ("cat", "dog"))
    assert len(chosen.images) == 10
    assert set(chosen.truth) == set(chosen.images)
    assert chosen.notes == ()


def test_unknown_labels_give_images_without_truth(yolo: Path) -> None:
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
