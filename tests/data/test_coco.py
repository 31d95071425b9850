"""COCO JSON: layouts, categories and refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgessd.core.errors import DataError
from edgessd.data.dataset import Dataset, load_dataset


def _content(first: int, count: int) -> dict[str, Any]:
    numbers = range(first, first + count)
    return {
        "info": {"year": 2026},
        "images": [
            {"id": n, "file_name": f"{n}.jpg", "width": 64, "height": 48, "license": 1}
            for n in numbers
        ],
        "annotations": [
            {"id": n + 1, "image_id": n, "category_id": 18 if n % 2 else 17, "iscrowd": 0}
            | {"bbox": [10, 4, 20.5, 36], "area": 738, "segmentation": [[10, 4, 30, 4, 30, 40]]}
            for n in numbers
        ],
        "categories": [
            {"id": 18, "name": "dog", "supercategory": "animal"},
            {"id": 17, "name": "cat", "supercategory": "animal"},
        ],
    }


def _places(dataset: Dataset, kind: str) -> tuple[str, ...]:
    return next((item.where for item in dataset.problems if item.kind == kind), ())


@pytest.fixture
def coco(tmp_path: Path, photo: Any) -> Path:
    """Four images in train2017, two in val2017; category ids as sparse as COCO's own."""
    root = tmp_path / "animals"
    (root / "annotations").mkdir(parents=True)
    for split, first, count in (("train2017", 0, 4), ("val2017", 4, 2)):
        for number in range(first, first + count):
            photo(root / "images" / split / f"{number}.jpg", seed=number)
        file = root / "annotations" / f"instances_{split}.json"
        file.write_text(json.dumps(_content(first, count)))
    return root


def _edit(coco: Path, split: str, **changes: Any) -> None:
    file = coco / "annotations" / f"instances_{split}2017.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_reads_boxes_and_labels_by_category_id(coco: Path) -> None:
    dataset = load_dataset(coco)
    assert (dataset.format, dataset.labels, dataset.problems) == ("coco", ("cat", "dog"), ())
    assert {name: len(images) for name, images in dataset.splits.items()} == {"train": 4, "val": 2}
    image = dataset.split("train")[1]
    np.testing.assert_array_equal(image.boxes, [[10, 4, 30.5, 40]])
    assert image.class_ids.tolist() == [1]


def test_reads_roboflows_layout(tmp_path: Path, photo: Any) -> None:
    root = tmp_path / "export"
    for split, first in (("train", 0), ("valid", 4), ("test", 8)):
        for number in range(first, first + 4):
            photo(root / split / f"{number}.jpg", seed=number)
        content = _content(first, 4)
        content["categories"].append({"id": 0, "name": "animal", "supercategory": "none"})
        (root / split / "_annotations.coco.json").write_text(json.dumps(content))
    dataset = load_dataset(root)
    assert list(dataset.splits) == ["train", "val", "test"]
    assert dataset.labels == ("cat", "dog")
    assert _places(dataset, "root_category") == ("animal (id 0)",)


def test_one_file_beside_the_images_is_all(tmp_path: Path, photo: Any) -> None:
    for number in range(3):
        photo(tmp_path / "one" / f"{number}.jpg", seed=number)
    (tmp_path / "one" / "labels.json").write_text(json.dumps(_content(0, 3)))
    assert {n: len(i) for n, i in load_dataset(tmp_path / "one").splits.items()} == {"all": 3}


def test_other_json_files_are_skipped(coco: Path) -> None:
    (coco / "annotations" / "captions_train2017.json").write_text(
        json.dumps({"images": [], "annotations": [{"caption": "categories"}]})
    )
    assert len(load_dataset(coco).split("all")) == 6


def test_crowds_are_ignored(coco: Path) -> None:
    content = _content(4, 2)
    content["annotations"][0]["iscrowd"] = 1
    _edit(coco, "val", **content)
    assert load_dataset(coco).split("val")[0].ignore.tolist() == [True]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"category_id": 99}, "annotation 5: category 99"),
        ({"image_id": 77}, "there is no image 77"),
        ({"bbox": [1, 2, 3]}, "bbox has 3 numbers"),
        ({"bbox": [1, 2, 3, "x"]}, r"broken|can't be parsed"),
    ],
)
def test_refuses_an_invalid_annotation(coco: Path, change: dict[str, Any], reason: str) -> None:
    content = _content(4, 2)
    content["annotations"][0].update(change)
    _edit(coco, "val", **content)
    with pytest.raises(DataError, match=reason):
        load_dataset(coco)


def test_refuses_truncated_json(coco: Path) -> None:
    file = coco / "annotations" / "instances_val2017.json"
    file.write_text(file.read_text()[:-5])
    with pytest.raises(DataError, match=r"instances_val2017\.json: .*truncated"):
        load_dataset(coco)


def test_refuses_categories_that_disagree(coco: Path) -> None:
    _edit(coco, "val", categories=[{"id": 17, "name": "dog"}, {"id": 18, "name": "cat"}])
    with pytest.raises(DataError, match="two names for category 17"):
        load_dataset(coco)


@pytest.mark.parametrize(("empty", "reported"), [(1, 0), (2, 2)])
def test_fewer_than_half_of_the_images_may_be_empty(coco: Path, empty: int, reported: int) -> None:
    _edit(coco, "train", annotations=_content(0, 4)["annotations"][empty:])
    assert len(_places(load_dataset(coco), "unlabelled_image")) == reported  # of six images


def test_refuses_when_half_of_the_images_are_empty(coco: Path) -> None:
    _edit(coco, "train", annotations=_content(0, 4)["annotations"][3:])
    with pytest.raises(DataError, match=r"train2017/0\.jpg: one of 3 among 4 in train"):
        load_dataset(coco)
    assert len(load_dataset(coco, allow_unlabeled=True).split("train")) == 4


def test_refuses_a_larger_split_without_boxes(coco: Path, photo: Any) -> None:
    for number in range(4, 14):
        photo(coco / "images" / "val2017" / f"{number}.jpg", seed=number)
    for number in range(20, 40):
        photo(coco / "images" / "train2017" / f"{number}.jpg", seed=number)
    _edit(coco, "train", **_content(20, 20))
    _edit(coco, "val", **(_content(4, 10) | {"annotations": []}))
    with pytest.raises(DataError, match=r"one of 10 among 10 in val"):
        load_dataset(coco)


def test_refuses_missing_images(coco: Path) -> None:
    (coco / "images").rename(coco / "photos")
    with pytest.raises(DataError, match=r"None of the images .* exist\. Expected 0\.jpg in"):
        load_dataset(coco)


def test_notes_images_that_no_file_lists(coco: Path, photo: Any) -> None:
    photo(coco / "images" / "train2017" / "new.jpg", seed=20)
    assert _places(load_dataset(coco), "unlisted_image") == ("images/train2017/new.jpg",)
