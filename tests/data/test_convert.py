"""Formats into each other and back: nothing moves by more than the rounding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgessd.core.errors import ConfigError, DataError
from edgessd.core.files import sha256_of
from edgessd.data.convert import Format, convert_dataset
from edgessd.data.dataset import Dataset, load_dataset
from edgessd.data.resplit import resplit_dataset

FORMATS: tuple[Format, ...] = ("coco", "voc", "yolo")


def _objects(dataset: Dataset, *, ignored: bool) -> dict[str, list[tuple[Any, ...]]]:
    """Split and file stem → label and box of every object, in the order of the file."""
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
def test_real_data_survives(shared: Path, tmp_path: Path, name: str, to: Format) -> None:
    dataset = load_dataset(shared / "data" / name)
    convert_dataset(dataset, tmp_path / "out", to, link=True)
    again = load_dataset(tmp_path / "out")
    assert again.format == to
    _assert_same(dataset, again, ignored=to != "yolo", pixels=0.011)
    if to == "voc":
        assert set(again.labels) <= set(dataset.labels)
    else:
        assert again.labels == dataset.labels


def test_around_all_formats(shared: Path, tmp_path: Path) -> None:
    first = load_dataset(shared / "data" / "voc100")
    dataset = first
    for step, to in enumerate(("yolo", "coco", "voc")):
        convert_dataset(dataset, tmp_path / str(step), to, link=True)  # type: ignore[arg-type]
        dataset = load_dataset(tmp_path / str(step))
    _assert_same(first, dataset, ignored=False, pixels=0.02)


def test_says_what_is_lost(shared: Path, tmp_path: Path) -> None:
    voc100 = load_dataset(shared / "data" / "voc100")
    done = convert_dataset(voc100, tmp_path / "a", "yolo", link=True)
    assert done.boxes == 273 - 38
    assert done.lost == (
        "38 boxes marked difficult or crowd: YOLO has no such mark, so they are left out",
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


def test_equal_names_in_two_splits_are_told_apart(yolo: Path, tmp_path: Path) -> None:
    (yolo / "images" / "val" / "7.jpg").rename(yolo / "images" / "val" / "0.jpg")
    (yolo / "labels" / "val" / "7.txt").rename(yolo / "labels" / "val" / "0.txt")
    convert_dataset(load_dataset(yolo), tmp_path / "out", "voc")
    again = load_dataset(tmp_path / "out")
    assert again.split("val")[0].path.name == "0_2.jpg"
    assert len(again.split("all")) == 10


def test_background_stays_background(yolo: Path, tmp_path: Path) -> None:
    for number in range(4):
        (yolo / "labels" / "train" / f"{number}.txt").unlink()
    dataset = load_dataset(yolo, allow_unlabelled=True)
    convert_dataset(dataset, tmp_path / "out", "yolo")
    assert load_dataset(tmp_path / "out").problems == ()


def test_leaves_nothing_behind_when_it_fails(yolo: Path, tmp_path: Path) -> None:
    dataset = load_dataset(yolo)
    (yolo / "images" / "val" / "9.jpg").unlink()
    with pytest.raises(DataError, match="Cannot write"):
        convert_dataset(dataset, tmp_path / "out", "coco")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pets"]


def test_refuses_a_destination_that_holds_something(yolo: Path) -> None:
    dataset = load_dataset(yolo)
    with pytest.raises(DataError, match="is taken"):
        convert_dataset(dataset, yolo, "coco")
    with pytest.raises(DataError, match="lies inside the dataset"):
        convert_dataset(dataset, yolo / "coco", "coco")


def test_split_gives_exact_shares(shared: Path) -> None:
    dataset = load_dataset(shared / "data" / "voc100")
    divided = resplit_dataset(dataset, {"train": 0.7, "val": 0.1, "test": 0.2})
    counts = {name: len(images) for name, images in divided.splits.items()}
    assert counts == {"train": 70, "val": 10, "test": 20}


def test_split_keeps_copies_together(yolo: Path) -> None:
    train = yolo / "images" / "train"
    for number in (1, 2, 3):  # byte for byte
        (train / f"{number}.jpg").write_bytes((train / "0.jpg").read_bytes())
    picture = cv2.imread(str(train / "0.jpg"))  # and to the eye
    cv2.imwrite(str(yolo / "images" / "val" / "5.jpg"), cv2.resize(picture, (128, 96)))
    divided = resplit_dataset(load_dataset(yolo), {"train": 0.5, "val": 0.5})
    homes = {image.path.stem: name for name, images in divided.splits.items() for image in images}
    assert len(homes) == 10
    assert len({homes[str(number)] for number in (0, 1, 2, 3, 5)}) == 1
    assert all(divided.splits.values())


def test_split_depends_on_content_alone(yolo: Path) -> None:
    def hashes() -> dict[str, set[str]]:
        divided = resplit_dataset(load_dataset(yolo), {"train": 0.6, "val": 0.4})
        return {
            name: {sha256_of(image.path) for image in images}
            for name, images in divided.splits.items()
        }

    before = hashes()
    for folder in ("images", "labels"):
        for path in sorted((yolo / folder / "train").iterdir()):
            path.rename(path.with_stem(f"renamed{9 - int(path.stem)}"))
    assert hashes() == before


def test_split_refuses_what_cannot_be(yolo: Path) -> None:
    dataset = load_dataset(yolo)
    with pytest.raises(ConfigError, match="don't make a whole"):
        resplit_dataset(dataset, {"train": 0.8, "val": 0.1})
    content = (yolo / "images" / "train" / "0.jpg").read_bytes()
    (yolo / "images" / "train" / "0.jpg").write_bytes(content[:-200])
    with pytest.raises(DataError, match=r"broken images can't be split.*0\.jpg"):
        resplit_dataset(dataset, {"train": 0.8, "val": 0.2})
