"""Formats are recognized by a folder's files, and other folders are refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgessd.core.errors import DataError
from edgessd.data.dataset import load_dataset


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"COCO .* VOC .* YOLO .* Found an empty folder"):
        load_dataset(tmp_path)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no dataset folder .*gone"):
        load_dataset(tmp_path / "gone")


def test_images_alone(yolo: Path) -> None:
    with pytest.raises(
        DataError,
        match=rf"not a dataset .* Found train/, val/.* Name the folder {re.escape(str(yolo))} .*YOLO",
    ):
        load_dataset(yolo / "images")


def test_one_folder_too_high(voc: Path) -> None:
    (voc.parent / "VOCdevkit").mkdir()
    voc.rename(voc.parent / "VOCdevkit" / "VOC2012")
    with pytest.raises(DataError, match=r"Name the folder .*VOCdevkit/VOC2012 .*looks like VOC"):
        load_dataset(voc.parent)


def test_two_formats_at_once(yolo: Path, voc: Path) -> None:
    (voc / "Annotations").rename(yolo / "Annotations")
    with pytest.raises(DataError, match=r"more than one format.*VOC \(.*YOLO \(data\.yaml\)"):
        load_dataset(yolo)


def test_no_box_at_all(yolo: Path) -> None:
    for label in (yolo / "labels").rglob("*.txt"):
        label.write_text("")
    with pytest.raises(DataError, match=r"is empty\. Expected .* Found 10 images and no box"):
        load_dataset(yolo)


def test_labels_are_matched_by_name(yolo: Path) -> None:
    dataset = load_dataset(yolo)
    other = dataset.relabeled(("bird", "dog", "cat"))
    assert [image.class_ids.tolist() for image in other.split("train")][:2] == [[2], [1]]
    with pytest.raises(DataError, match="doesn't know: cat"):
        dataset.relabeled(("dog",))
