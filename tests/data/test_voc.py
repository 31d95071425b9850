"""PASCAL VOC XML: coordinates, splits, and the usual faults of such files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgessd.core.errors import DataError
from edgessd.data.dataset import Dataset, load_dataset


def _places(dataset: Dataset, kind: str) -> tuple[str, ...]:
    return next((item.where for item in dataset.problems if item.kind == kind), ())


def _rewrite(voc: Path, name: str, old: str, new: str) -> None:
    file = voc / "Annotations" / name
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_boxes_become_continuous(voc: Path) -> None:
    dataset = load_dataset(voc)
    assert (dataset.format, dataset.labels, dataset.problems) == ("voc", ("WBC",), ())
    image = dataset.split("train")[0]
    # xmin 11 .. xmax 30, inclusive and counted from 1, are the 20 pixels from 10 to 30.
    np.testing.assert_array_equal(image.boxes, [[10, 4, 30, 40]])
    assert image.boxes.dtype == np.float32
    assert (image.width, image.height) == (64, 48)


def test_splits_join(voc: Path) -> None:
    dataset = load_dataset(voc)
    assert {name: len(images) for name, images in dataset.splits.items()} == {"train": 4, "val": 2}
    assert len(dataset.split("trainval")) == len(dataset.split("train+val")) == 6
    assert len(dataset.split("all")) == 6
    with pytest.raises(DataError, match="has no split 'test'"):
        dataset.split("test")


def test_without_lists_all_images_are_one_split(voc: Path) -> None:
    for file in (voc / "ImageSets" / "Main").iterdir():
        file.unlink()
    assert list(load_dataset(voc).splits) == ["all"]


def test_xml_beside_the_images(voc: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat" / "train"
    flat.mkdir(parents=True)
    for number in range(6):
        (voc / "JPEGImages" / f"{number}.jpg").rename(flat / f"{number}.jpg")
        (voc / "Annotations" / f"{number}.xml").rename(flat / f"{number}.xml")
    assert len(load_dataset(flat).split("all")) == 6
    assert len(load_dataset(flat.parent).split("train")) == 6


def test_names_line_and_column_of_broken_xml(voc: Path) -> None:
    (voc / "Annotations" / "2.xml").write_text("<annotation>\n  <object>\n</annotation>")
    with pytest.raises(DataError, match=r"Annotations/2\.xml: line 3, column 3: mismatched tag"):
        load_dataset(voc)
    loose = load_dataset(voc, strict=False)
    assert len(loose.split("train")) == 3
    assert len(_places(loose, "broken_annotation")) == 1


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("<xmin>11</xmin>", "", "no number in <xmin>"),
        ("<xmin>11</xmin>", "<xmin>left</xmin>", "no number in <xmin>"),
        ("<name>WBC</name>", "<name> </name>", "has no <name>"),
        ("<annotation>", "<!DOCTYPE a [<!ENTITY b 'c'>]><annotation>", "forbidden XML construct"),
    ],
)
def test_refuses_incomplete_xml(voc: Path, old: str, new: str, reason: str) -> None:
    _rewrite(voc, "0.xml", old, new)
    with pytest.raises(DataError, match=reason):
        load_dataset(voc)


def test_refuses_a_listed_image_without_xml(voc: Path) -> None:
    (voc / "Annotations" / "4.xml").unlink()
    with pytest.raises(DataError, match=r"JPEGImages/4\.jpg: in ImageSets/Main/val\.txt"):
        load_dataset(voc)
    assert len(load_dataset(voc, allow_unlabeled=True).split("val")[0].boxes) == 0


def test_notes_images_that_no_list_names(voc: Path) -> None:
    (voc / "ImageSets" / "Main" / "train.txt").write_text("0\n1\n2\n")
    dataset = load_dataset(voc)
    assert _places(dataset, "unlisted_image") == ("JPEGImages/3.jpg",)
    assert _places(dataset, "split_differs") == ("ImageSets/Main/trainval.txt: 3",)


@pytest.mark.parametrize("missing", [1, 2])
def test_only_a_few_missing_images_are_left_out(voc: Path, missing: int) -> None:
    (voc / "ImageSets" / "Main" / "train.txt").write_text("0\n1\n2\n3\n4\n")
    (voc / "ImageSets" / "Main" / "val.txt").write_text("5\n")
    for number in range(missing):
        (voc / "JPEGImages" / f"{number}.jpg").unlink()
    if missing == 1:  # one of five
        dataset = load_dataset(voc)
        assert len(dataset.split("train")) == 4
        assert _places(dataset, "missing_image") == ("JPEGImages/0.jpg",)
    else:
        with pytest.raises(DataError, match="more than a fifth of the split"):
            load_dataset(voc)


def test_impossible_boxes_are_left_out_and_noted(voc: Path) -> None:
    _rewrite(voc, "0.xml", "<xmax>30</xmax>", "<xmax>11</xmax>")  # a click without a drag
    _rewrite(voc, "1.xml", "<xmax>30</xmax>", "<xmax>90</xmax>")
    _rewrite(voc, "2.xml", "<xmin>11</xmin>", "<xmin>70</xmin>")
    _rewrite(voc, "2.xml", "<xmax>30</xmax>", "<xmax>80</xmax>")
    dataset = load_dataset(voc)
    assert _places(dataset, "degenerate_box") == ("JPEGImages/0.jpg: (11, 4, 11, 40)",)
    assert _places(dataset, "outside_box") == ("JPEGImages/1.jpg: (10, 4, 90, 40) in 64x48",)
    assert _places(dataset, "lost_box") == ("JPEGImages/2.jpg: (69, 4, 80, 40)",)
    boxes = [image.boxes.tolist() for image in dataset.split("train")]
    assert boxes == [[], [[10, 4, 64, 40]], [], [[10, 4, 30, 40]]]


def test_a_box_that_exceeds_by_one_pixel_is_clipped_silently(voc: Path) -> None:
    _rewrite(voc, "0.xml", "<xmax>30</xmax>", "<xmax>65</xmax>")
    dataset = load_dataset(voc)
    assert dataset.problems == ()
    assert dataset.split("train")[0].boxes[0, 2] == 64


def test_difficult_is_ignored(voc: Path) -> None:
    _rewrite(voc, "0.xml", "<difficult>0</difficult>", "<difficult>1</difficult>")
    assert load_dataset(voc).split("train")[0].ignore.tolist() == [True]


@pytest.mark.parametrize("stated", ["<width>0</width>", "", "<width>none</width>"])
def test_size_comes_from_the_file(voc: Path, stated: str) -> None:
    _rewrite(voc, "0.xml", "<width>64</width>", stated)
    dataset = load_dataset(voc)
    assert dataset.split("train")[0].width == 64
    assert dataset.problems == ()


def test_a_wrong_size_is_noted(voc: Path) -> None:
    _rewrite(voc, "0.xml", "<width>64</width>", "<width>640</width>")
    dataset = load_dataset(voc)
    assert dataset.split("train")[0].width == 64
    assert _places(dataset, "size_mismatch") == (
        "JPEGImages/0.jpg: 640x48 stated, 64x48 in the file",
    )


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_turn_with_exif(voc: Path, orientation: int) -> None:
    """The box is painted into the stored pixels and found in the turned image."""
    from edgessd.core.images import read_image

    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[4:40, 10:30] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(voc / "JPEGImages" / "0.jpg", exif=exif, quality=100)
    dataset = load_dataset(voc)
    assert len(_places(dataset, "turned_image")) == 1
    image = dataset.split("train")[0]
    assert (image.width, image.height) == (48, 64)
    rows, columns = np.nonzero(read_image(image.path)[..., 0] > 128)
    seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(image.boxes[0], seen, atol=1)


def test_a_broken_image_is_left_out_by_name(voc: Path) -> None:
    (voc / "JPEGImages" / "0.jpg").write_bytes(b"")
    dataset = load_dataset(voc)
    assert len(dataset.split("train")) == 3
    assert _places(dataset, "broken_image")[0].startswith("JPEGImages/0.jpg: no readable image")


def test_an_image_in_two_splits_is_noted(voc: Path) -> None:
    (voc / "ImageSets" / "Main" / "val.txt").write_text("0\n4\n5\n5\n")
    dataset = load_dataset(voc)
    assert _places(dataset, "split_overlap") == ("JPEGImages/0.jpg: train and val",)
    assert _places(dataset, "repeated_image") == ("ImageSets/Main/val.txt: 5",)
    assert len(dataset.split("trainval")) == 6


def test_bccd_as_published(shared: Path) -> None:
    dataset = load_dataset(shared / "data" / "bccd")
    assert dataset.labels == ("Platelets", "RBC", "WBC")
    counts = {name: len(images) for name, images in dataset.splits.items()}
    assert counts == {"train": 205, "val": 87, "test": 72}
    # 4,888 objects in the XML files, two of them clicks without a drag.
    assert sum(len(image.boxes) for image in dataset.split("all")) == 4886
    assert len(_places(dataset, "degenerate_box")) == 2


def test_voc100_as_published(shared: Path) -> None:
    dataset = load_dataset(shared / "data" / "voc100")
    assert len(dataset.labels) == 20
    images = dataset.split("all")
    assert (len(images), sum(len(image.boxes) for image in images)) == (100, 273)
    assert dataset.problems == ()
