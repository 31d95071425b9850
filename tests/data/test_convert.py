"""Datasets stay the same through all formats, up to rounding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgessd.core.errors import DataError
from edgessd.core.files import sha256_of
from edgessd.data.convert import Format, convert_dataset
from edgessd.data.dataset import Dataset, load_dataset

FORMATS: tuple[Format, ...] = ("coco", "voc", "yolo")


def _objects(dataset: Dataset, *, ignored: bool) -> dict[str, list[tuple[Any, ...]]]:
    """Labels and boxes of all objects by split and file stem, in the order of the file."""
    found = {}
    for split, images in dataset.splits.items():
        for image in images:
            rows = zip(image.class_ids, image.boxes.tolist(), image.ignore.tolist(), strict=True)
            found[f"{split}/{image.path.stem}"] = [
                (dataset.labels[class_id], *box, ignore)
                for class_id, box, ignore in rows
                if ignored or not ignore
            ]
    return found


def _assert_same(first: Dataset, second: Dataset, *, ignored: bool, pixels: float) -> None:
    left, right = _objects(first, ignored=ignored), _objects(second, ignored=ignored)
    assert left.keys() == right.keys()
    for name, objects in left.items():
        assert [item[0] for item in objects] == [item[0] for item in right[name]], name
        assert [item[5] for item in objects] == [item[5] for item in right[name]], name
        ours = np.array([item[1:5] for item in objects]).reshape(-1, 4)
        theirs = np.array([item[1:5] for item in right[name]]).reshape(-1, 4)
        np.testing.assert_allclose(theirs, ours, atol=pixels, err_msg=name)


@pytest.mark.parametrize(
    ("name", "to"),
    [("bccd", "yolo"), *((name, to) for name in ("voc100", "coco128") for to in FORMATS)],
)
def test_real_data_stays_the_same(shared: Path, tmp_path: Path, name: str, to: Format) -> None:
    dataset = load_dataset(shared / "data" / name)
    convert_dataset(dataset, tmp_path / "out", to, link=True)
    again = load_dataset(tmp_path / "out")
    assert again.format == to
    _assert_same(dataset, again, ignored=to != "yolo", pixels=0.011)
    if to == "voc":
        assert set(again.labels) <= set(dataset.labels)
    else:
        assert again.labels == dataset.labels


def test_a_round_trip_through_all_formats(shared: Path, tmp_path: Path) -> None:
    first = load_dataset(shared / "data" / "voc100")
    dataset = first
    for step, to in enumerate(("yolo", "coco", "voc")):
        convert_dataset(dataset, tmp_path / str(step), to, link=True)  # type: ignore[arg-type]
        dataset = load_dataset(tmp_path / str(step))
    _assert_same(first, dataset, ignored=False, pixels=0.02)


def test_lists_the_information_that_is_lost(shared: Path, tmp_path: Path) -> None:
    voc100 = load_dataset(shared / "data" / "voc100")
    done = convert_dataset(voc100, tmp_path / "a", "yolo", link=True)
    assert done.boxes == 273 - 38
    assert done.lost == (
        "38 boxes marked difficult or crowd are left out, because YOLO has no such mark",
    )
    done = convert_dataset(
        load_dataset(shared / "data" / "coco128"), tmp_path / "b", "voc", link=True
    )
    assert "parking meter" in done.lost[0]
    assert "alphabetical" in done.lost[1]


@pytest.mark.parametrize("link", [True, False])
def test_images_are_linked_or_copied(yolo: Path, tmp_path: Path, link: bool) -> None:
    convert_dataset(load_dataset(yolo), tmp_path / "out", "coco", link=link)
    image = tmp_path / "out" / "images" / "train" / "0.jpg"
    assert image.is_symlink() == link
    assert sha256_of(image) == sha256_of(yolo / "images" / "train" / "0.jpg")


def test_equal_names_in_two_splits_get_different_names(yolo: Path, tmp_path: Path) -> None:
    (yolo / "images" / "val" / "7.jpg").rename(yolo / "images" / "val" / "0.jpg")
    (yolo / "labels" / "val" / "7.txt").rename(yolo / "labels" / "val" / "0.txt")
    convert_dataset(load_dataset(yolo), tmp_path / "out", "voc")
    again = load_dataset(tmp_path / "out")
    assert again.split("val")[0].path.name == "0_2.jpg"
    assert len(again.split("all")) == 10


def test_background_stays_background(yolo: Path, tmp_path: Path) -> None:
    for number in range(4):
        (yolo / "labels" / "train" / f"{number}.txt").unlink()
    dataset = load_dataset(yolo, allow_unlabeled=True)
    convert_dataset(dataset, tmp_path / "out", "yolo")
    assert load_dataset(tmp_path / "out").problems == ()


def test_leaves_nothing_behind_when_it_fails(yolo: Path, tmp_path: Path) -> None:
    dataset = load_dataset(yolo)
    (yolo / "images" / "val" / "9.jpg").unlink()
    with pytest.raises(DataError, match="can't be written"):
        convert_dataset(dataset, tmp_path / "out", "coco")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pets"]


def test_refuses_a_destination_with_files(yolo: Path) -> None:
    dataset = load_dataset(yolo)
    with pytest.raises(DataError, match="isn't empty"):
        convert_dataset(dataset, yolo, "coco")
    with pytest.raises(DataError, match="is inside the dataset"):
        convert_dataset(dataset, yolo / "coco", "coco")
