"""YOLO txt: layouts, label lines and refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgessd.core.errors import DataError
from edgessd.data.dataset import Dataset, load_dataset


def _places(dataset: Dataset, kind: str) -> tuple[str, ...]:
    return next((item.where for item in dataset.problems if item.kind == kind), ())


def test_reads_fractions_as_pixels(yolo: Path) -> None:
    dataset = load_dataset(yolo)
    assert (dataset.format, dataset.labels, dataset.problems) == ("yolo", ("cat", "dog"), ())
    assert {name: len(images) for name, images in dataset.splits.items()} == {"train": 5, "val": 5}
    np.testing.assert_array_equal(dataset.split("train")[1].boxes, [[24, 12, 40, 36]])
    assert dataset.split("train")[1].class_ids.tolist() == [1]


@pytest.mark.parametrize(
    "text",
    [
        "train: images/train\nval: images/val\nnames: [cat, dog]\n",
        "path: ../datasets/pets\ntrain: images/train\nval: images/val\nnames: [cat, dog]\nnc: 2\n",
        "train: ../images/train\nval: ../images/val\nnames: [cat, dog]\n",
        "train: [images/train]\nval: val.txt\nnames: {0: cat, 1: dog}\n",
    ],
)
def test_finds_images_by_the_paths_of_common_exports(yolo: Path, text: str) -> None:
    (yolo / "data.yaml").write_text(text)
    (yolo / "val.txt").write_text("".join(f"./images/val/{n}.jpg\n" for n in range(5, 10)))
    dataset = load_dataset(yolo)
    assert {name: len(images) for name, images in dataset.splits.items()} == {"train": 5, "val": 5}
    assert sum(len(image.boxes) for image in dataset.split("all")) == 10


def test_plain_folders_with_classes_txt(yolo: Path) -> None:
    (yolo / "data.yaml").unlink()
    with pytest.raises(DataError, match=r"no list of class names.*classes\.txt"):
        load_dataset(yolo)
    (yolo / "classes.txt").write_text("cat\ndog\n")
    assert list(load_dataset(yolo).splits) == ["train", "val"]


def test_refuses_an_unknown_class(yolo: Path) -> None:
    (yolo / "labels" / "val" / "7.txt").write_text("0 0.5 0.5 0.1 0.1\n2 0.5 0.5 0.1 0.1\n")
    with pytest.raises(DataError, match=r"labels/val/7\.txt: line 2: class 2, names are 0 to 1"):
        load_dataset(yolo)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0 0.5 0.5 0.1", "4 numbers instead of 5"),
        ("cat 0.5 0.5 0.1 0.1", "aren't all numbers"),
        ("0 32 24 10 10", "32 isn't a fraction of the image"),
        ("0 0.5 0.5 nan 0.1", "isn't a fraction"),
        ("0 0.1 0.1 0.2 0.1 0.2", "6 numbers instead of 5"),
        ("0.5 0.5 0.5 0.1 0.1", "class 0.5"),
        ("-1 0.5 0.5 0.1 0.1", "class -1"),
    ],
)
def test_refuses_a_malformed_line(yolo: Path, line: str, reason: str) -> None:
    (yolo / "labels" / "train" / "3.txt").write_text(line + "\n")
    with pytest.raises(DataError, match=rf"labels/train/3\.txt: line 1: .*{reason}"):
        load_dataset(yolo)


def test_a_polygon_becomes_its_box(yolo: Path) -> None:
    (yolo / "labels" / "train" / "0.txt").write_text("1 0.25 0.5 0.5 0.25 0.75 0.75\n")
    image = load_dataset(yolo).split("train")[0]
    np.testing.assert_array_equal(image.boxes, [[16, 12, 48, 36]])


def test_a_box_listed_twice_counts_once(yolo: Path) -> None:
    (yolo / "labels" / "train" / "0.txt").write_text("0 0.5 0.5 0.1 0.1\n" * 2)
    dataset = load_dataset(yolo)
    assert len(dataset.split("train")[0].boxes) == 1
    assert len(_places(dataset, "repeated_box")) == 1


def test_an_empty_label_file_is_background(yolo: Path) -> None:
    for number in range(4):
        (yolo / "labels" / "train" / f"{number}.txt").write_text("")
    dataset = load_dataset(yolo)
    assert dataset.problems == ()
    assert [len(image.boxes) for image in dataset.split("train")] == [0, 0, 0, 0, 1]


@pytest.mark.parametrize("missing", [1, 2])
def test_only_a_few_missing_label_files_are_background(yolo: Path, missing: int) -> None:
    for number in range(missing):
        (yolo / "labels" / "train" / f"{number}.txt").unlink()
    if missing == 1:  # one of five
        dataset = load_dataset(yolo)
        assert _places(dataset, "unlabelled_image") == ("images/train/0.jpg",)
        assert len(dataset.split("train")) == 5
    else:
        with pytest.raises(DataError, match=r"one of 2 among 5 in train"):
            load_dataset(yolo)
        assert len(load_dataset(yolo, allow_unlabeled=True).split("train")) == 5


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("train: images/train\nnames: {0: cat, 2: dog}\n", "leave gaps"),
        ("train: images/train\nnames: [cat, cat]\n", "cat more than once"),
        ("train: images/train\nnames: [cat, dog]\nnc: 3\n", "contradicts itself"),
        ("train: images/other\nnames: [cat, dog]\n", "'images/other', which doesn't exist"),
        ("train: [images\n", "isn't valid YAML"),
    ],
)
def test_refuses_an_invalid_yaml_file(yolo: Path, text: str, reason: str) -> None:
    (yolo / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=reason):
        load_dataset(yolo)


def test_coco128_as_published(shared: Path) -> None:
    dataset = load_dataset(shared / "data" / "coco128")
    assert len(dataset.labels) == 80
    assert {name: len(images) for name, images in dataset.splits.items()} == {
        "train": 128,
        "val": 128,
    }
    assert len(_places(dataset, "unlabelled_image")) == 2
