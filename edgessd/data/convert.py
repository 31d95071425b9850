"""Write a dataset as COCO JSON, PASCAL VOC XML or YOLO txt.

All three formats keep boxes, labels and splits. `Conversion.lost` lists what a format can't hold: YOLO has
no mark for ignored boxes, and VOC keeps no label without boxes. An interrupted conversion leaves nothing.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgessd.core.errors import DataError
from edgessd.core.files import replacing_directory
from edgessd.data.dataset import Dataset
from edgessd.data.split_names import ALL
from edgessd.metrics.ground_truth import LabeledImage

Format = Literal["coco", "voc", "yolo"]

_KNOWN_SPLITS: dict[Format, tuple[str, ...]] = {
    "voc": ("train", "val", "trainval", "test", ALL),
    "yolo": ("train", "val", "test", ALL),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversion:
    """Outcome of a conversion.

    Attributes:
        images: Number of written images.
        boxes: Number of written boxes.
        lost: One sentence for each kind of information that the new format can't hold.
    """

    images: int
    boxes: int
    lost: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entry:
    """An image with its file name in the new dataset."""

    name: str
    image: LabeledImage

    @property
    def stem(self) -> str:
        return Path(self.name).stem


_Entries = dict[str, list[_Entry]]


def convert_dataset(
    dataset: Dataset,
    destination: Path,
    to: Format,
    *,
    link: bool = False,
    progress: Callable[[], None] | None = None,
) -> Conversion:
    """Write a dataset in another format.

    Args:
        dataset: The dataset to write.
        destination: A folder that doesn't exist yet, or is empty.
        to: The format to write.
        link: Make symbolic links to the images' absolute paths instead of copies.
        progress: Called after each image.

    Raises:
        DataError: The destination isn't empty or can't be written, or the format can't hold the splits.
    """
    _check_destination(dataset.root, destination)
    _check_splits(dataset, to)
    entries = _named(dataset)
    writer = {"coco": _write_coco, "voc": _write_voc, "yolo": _write_yolo}[to]
    try:
        with replacing_directory(destination) as folder:
            image_folder = writer(folder, dataset, entries)
            done = set()
            for split, members in entries.items():
                place = image_folder(split)
                place.mkdir(parents=True, exist_ok=True)
                for entry in members:
                    if place / entry.name not in done:
                        done.add(place / entry.name)
                        _place(entry.image.path, place / entry.name, link)
                    if progress is not None:
                        progress()
    except OSError as error:
        raise DataError(
            f"{destination} can't be written",
            found=f"{error.strerror or error}: {error.filename}",
            fix="Name a folder that can be written",
        ) from error
    images = dataset.split("all")
    ignored = sum(int(image.ignore.sum()) for image in images) if to == "yolo" else 0
    return Conversion(
        images=len(images),
        boxes=sum(len(image.boxes) for image in images) - ignored,
        lost=_lost(dataset, images, to),
    )


def _check_destination(source: Path, destination: Path) -> None:
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise DataError(
            f"{destination} isn't empty",
            expected="a folder that doesn't exist yet, or an empty one",
            fix="Name another folder, or delete this one first",
        )
    if destination.resolve().is_relative_to(source.resolve()):
        raise DataError(
            f"{destination} is inside the dataset {source}",
            expected="a folder outside, so that the dataset stays as it is",
            fix="Name another folder",
        )


def _check_splits(dataset: Dataset, to: Format) -> None:
    known = _KNOWN_SPLITS.get(to, tuple(dataset.splits))
    strange = [split for split in dataset.splits if split not in known]
    if strange:
        raise DataError(
            f"{to.upper()} can't hold the split {strange[0]!r} of {dataset.root}",
            expected=f"one of {', '.join(known)}",
            fix="Convert to COCO, or split the images again with --split 0.8,0.1,0.1",
        )
    if ALL in dataset.splits and len(dataset.splits) > 1:
        raise DataError(
            f"{dataset.root} has images in splits and images in none",
            found=", ".join(dataset.splits),
            fix="Split the images again with --split 0.8,0.1,0.1",
        )


def _named(dataset: Dataset) -> _Entries:
    """Give each image a name whose stem is unique, because VOC and YOLO pair files by their stems."""
    taken: dict[str, Path] = {}
    names: dict[Path, str] = {}
    entries: _Entries = {}
    for split, images in dataset.splits.items():
        entries[split] = []
        for image in images:
            if image.path not in names:
                stem, suffix = image.path.stem, image.path.suffix
                candidate, number = stem, 1
                while candidate.lower() in taken:
                    number += 1
                    candidate = f"{stem}_{number}"
                taken[candidate.lower()] = image.path
                names[image.path] = candidate + suffix
            entries[split].append(_Entry(name=names[image.path], image=image))
    return entries


def _place(source: Path, destination: Path, link: bool) -> None:
    if link:
        destination.symlink_to(source.resolve())
    else:
        shutil.copyfile(source, destination)


def _lost(dataset: Dataset, images: tuple[LabeledImage, ...], to: Format) -> tuple[str, ...]:
    lost = []
    ignored = sum(int(image.ignore.sum()) for image in images)
    if to == "yolo" and ignored:
        lost.append(
            f"{ignored:,} boxes marked difficult or crowd are left out, because YOLO has no such mark"
        )
    used = {int(class_id) for image in images for class_id in image.class_ids}
    unused = [label for index, label in enumerate(dataset.labels) if index not in used]
    if to == "voc" and unused:
        lost.append(f"labels without a box are lost, because VOC has no list: {', '.join(unused)}")
    if to == "voc" and list(dataset.labels) != sorted(dataset.labels):
        lost.append("the order of the labels is lost, because VOC's are read in alphabetical order")
    return tuple(lost)


def _write_coco(folder: Path, dataset: Dataset, entries: _Entries) -> Callable[[str], Path]:
    categories = [
        {"id": index, "name": label, "supercategory": ""}
        for index, label in enumerate(dataset.labels, 1)
    ]
    (folder / "annotations").mkdir()
    annotation_id = 0
    for split, members in entries.items():
        images, annotations = [], []
        for image_id, entry in enumerate(members, 1):
            image = entry.image
            images.append(
                {
                    "id": image_id,
                    "file_name": entry.name,
                    "width": image.width,
                    "height": image.height,
                }
            )
            rows = zip(image.boxes.tolist(), image.class_ids, image.ignore, strict=True)
            for (left, top, right, bottom), class_id, ignore in rows:
                annotation_id += 1
                width, height = right - left, bottom - top
                annotations.append(
                    {
                        "id": annotation_id,
                        "image_id": image_id,
                        "category_id": int(class_id) + 1,
                        "bbox": [round(value, 3) for value in (left, top, width, height)],
                        "area": round(width * height, 3),
                        "iscrowd": int(ignore),
                    }
                )
        content = {"images": images, "annotations": annotations, "categories": categories}
        file = folder / "annotations" / f"instances_{split}.json"
        file.write_text(json.dumps(content), encoding="utf-8")
    return lambda split: folder / "images" / split


def _write_voc(folder: Path, dataset: Dataset, entries: _Entries) -> Callable[[str], Path]:
    (folder / "Annotations").mkdir()
    lists = folder / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for split, members in entries.items():
        for entry in members:
            content = _voc_xml(entry, dataset.labels)
            (folder / "Annotations" / f"{entry.stem}.xml").write_text(content, encoding="utf-8")
        if split in ("train", "val", "trainval", "test"):
            lines = "".join(f"{entry.stem}\n" for entry in members)
            (lists / f"{split}.txt").write_text(lines, encoding="utf-8")
    if {"train", "val"} <= set(entries):
        stems = sorted({entry.stem for split in ("train", "val") for entry in entries[split]})
        (lists / "trainval.txt").write_text(
            "".join(f"{stem}\n" for stem in stems), encoding="utf-8"
        )
    return lambda _: folder / "JPEGImages"


def _voc_xml(entry: _Entry, labels: tuple[str, ...]) -> str:
    from xml.etree.ElementTree import Element, SubElement, indent, tostring

    def field(parent: Element, name: str, text: str) -> None:
        SubElement(parent, name).text = text

    image = entry.image
    top = Element("annotation")
    field(top, "folder", "JPEGImages")
    field(top, "filename", entry.name)
    size = SubElement(top, "size")
    for side, value in (("width", image.width), ("height", image.height), ("depth", 3)):
        field(size, side, str(value))
    field(top, "segmented", "0")
    for box, class_id, ignore in zip(
        image.boxes.tolist(), image.class_ids, image.ignore, strict=True
    ):
        item = SubElement(top, "object")
        field(item, "name", labels[class_id])
        field(item, "pose", "Unspecified")
        field(item, "truncated", "0")
        field(item, "difficult", str(int(ignore)))
        corners = SubElement(item, "bndbox")
        # VOC counts from 1 and includes the last pixel, whose number is the continuous right edge.
        values = (box[0] + 1, box[1] + 1, box[2], box[3])
        for side, value in zip(("xmin", "ymin", "xmax", "ymax"), values, strict=True):
            field(corners, side, f"{value:.2f}".rstrip("0").rstrip("."))
    indent(top, "\t")
    return tostring(top, encoding="unicode") + "\n"


def _write_yolo(folder: Path, dataset: Dataset, entries: _Entries) -> Callable[[str], Path]:
    import yaml

    for split, members in entries.items():
        place = folder / "labels" / ("" if split == ALL else split)
        place.mkdir(parents=True)
        for entry in members:
            file = place / f"{entry.stem}.txt"
            file.write_text(_yolo_lines(entry.image), encoding="utf-8")
    if ALL in entries:
        lines = "".join(f"{label}\n" for label in dataset.labels)
        (folder / "classes.txt").write_text(lines, encoding="utf-8")
        return lambda _: folder / "images"
    content = {
        "path": ".",
        **{split: f"images/{split}" for split in entries},
        "names": dict(enumerate(dataset.labels)),
    }
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    (folder / "data.yaml").write_text(text, encoding="utf-8")
    return lambda split: folder / "images" / split


def _yolo_lines(image: LabeledImage) -> str:
    """Write one line per box; without boxes an empty text, which YOLO reads as background."""
    lines = []
    for box, class_id, ignore in zip(
        image.boxes.tolist(), image.class_ids, image.ignore, strict=True
    ):
        if not ignore:
            left, top, right, bottom = box
            values = (
                (left + right) / 2 / image.width,
                (top + bottom) / 2 / image.height,
                (right - left) / image.width,
                (bottom - top) / image.height,
            )
            lines.append(f"{class_id} " + " ".join(f"{value:.8f}" for value in values) + "\n")
    return "".join(lines)
