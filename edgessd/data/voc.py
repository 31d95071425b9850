"""Read PASCAL VOC XML (VOC2012 development kit, section 9), also in LabelImg's and Roboflow's layouts.

- `Annotations/*.xml` with `JPEGImages/` (or `images/`), and `ImageSets/Main/{train,val,test}.txt`;
- XML files beside the images, in the folder itself or in one folder per split.

Coordinates count from 1 and include the last pixel, so xmin..xmax covers the continuous span
xmin - 1 .. xmax.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgessd.core.errors import DataError
from edgessd.core.images import IMAGE_SUFFIXES
from edgessd.data.dataset_format import DatasetFormat
from edgessd.data.objects import header_or_none, make_image
from edgessd.data.problems import ProblemLog
from edgessd.data.split_names import (
    ALL,
    MAX_UNLABELED,
    SPLIT_FOLDERS,
    Splits,
    note_missing,
    note_unlabeled,
)
from edgessd.metrics.ground_truth import LabeledImage

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


@dataclass(frozen=True, kw_only=True, slots=True)
class _Annotation:
    """Contents of one XML file, with names instead of class ids."""

    names: tuple[str, ...]
    boxes: tuple[tuple[float, float, float, float], ...]
    difficult: tuple[bool, ...]
    stated_size: tuple[int, int] | None


def find_voc(root: Path) -> str | None:
    """Name the files that make `root` a VOC dataset; None if it isn't one."""
    if _has_xml(root / "Annotations"):
        return "Annotations/*.xml"
    if _has_xml(root):
        return "*.xml beside the images"
    return next((f"{name}/*.xml" for name in SPLIT_FOLDERS if _has_xml(root / name)), None)


def load_voc(
    root: Path, log: ProblemLog, *, allow_unlabeled: bool
) -> tuple[tuple[str, ...], Splits]:
    """Read a VOC dataset.

    Args:
        root: Folder that `find_voc` recognizes.
        log: Log that receives the problems.
        allow_unlabeled: Take any number of images without an XML file as background.

    Returns:
        Labels in alphabetical order, and the splits.

    Raises:
        DataError: There is no folder of images.
    """
    listed = _has_xml(root / "Annotations")
    pairs = _listed_pairs(root, log) if listed else _flat_pairs(root)
    annotations: dict[Path, _Annotation | None] = {}
    for split, members in pairs.items():
        _note_absent(split, members, listed and split != ALL, log, allow_unlabeled)
        for _, xml in members:
            if xml not in annotations:
                annotations[xml] = _read(xml, log) if xml.is_file() else None
    names = {name for found in annotations.values() if found for name in found.names}
    labels = tuple(sorted(names))
    indices = {label: index for index, label in enumerate(labels)}
    made: dict[Path, LabeledImage | None] = {}
    splits: Splits = {}
    for split, members in pairs.items():
        for image, xml in members:
            if image not in made:
                made[image] = _make(image, xml, annotations[xml], indices, log)
        records = (made[image] for image, _ in members)
        splits[split] = tuple(record for record in records if record is not None)
    return labels, splits


def _has_xml(folder: Path) -> bool:
    return folder.is_dir() and next(folder.glob("*.xml"), None) is not None


def _image_folder(root: Path) -> Path:
    for name in ("JPEGImages", "images"):
        if (root / name).is_dir():
            return root / name
    raise DataError(
        f"{root} has Annotations/*.xml but no images",
        expected="a folder JPEGImages (or images) beside Annotations",
        found=", ".join(sorted(path.name for path in root.iterdir())),
        fix=f"Put the images into {root / 'JPEGImages'}",
    )


def _images_by_stem(folder: Path) -> dict[str, Path]:
    return {
        path.stem: path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    }


def _listed_pairs(root: Path, log: ProblemLog) -> dict[str, list[tuple[Path, Path]]]:
    """Pairs (image, XML) of each list in ImageSets/Main; without lists, all pairs as split `all`."""
    folder = _image_folder(root)
    by_stem = _images_by_stem(folder)
    lists = _split_lists(root, log)
    if not lists:
        stems = {path.stem for path in (root / "Annotations").glob("*.xml")}
        lists = {ALL: sorted(stems | set(by_stem))}
    listed = {stem for stems in lists.values() for stem in stems}
    for stem in sorted(set(by_stem) - listed):
        log.add("unlisted_image", by_stem[stem])
    return {
        split: [
            (by_stem.get(stem, folder / f"{stem}.jpg"), root / "Annotations" / f"{stem}.xml")
            for stem in stems
        ]
        for split, stems in lists.items()
    }


def _split_lists(root: Path, log: ProblemLog) -> dict[str, list[str]]:
    """Image names of each list in ImageSets/Main; trainval only if train or val is missing."""
    lists = {}
    for split in ("train", "val", "trainval", "test"):
        file = root / "ImageSets" / "Main" / f"{split}.txt"
        if not file.is_file():
            continue
        lines = (line.split() for line in file.read_text(encoding="utf-8-sig").splitlines())
        names = [_stem(words[0]) for words in lines if words]
        for name, count in Counter(names).items():
            if count > 1:
                log.add("repeated_image", file, name)
        lists[split] = list(dict.fromkeys(names))
    if "trainval" in lists and "train" in lists and "val" in lists:
        both = set(lists["train"]) | set(lists["val"])
        for name in sorted(both ^ set(lists["trainval"])):
            log.add("split_differs", root / "ImageSets" / "Main" / "trainval.txt", name)
        del lists["trainval"]
    return lists


def _stem(name: str) -> str:
    return Path(name).stem if Path(name).suffix.lower() in IMAGE_SUFFIXES else name


def _flat_pairs(root: Path) -> dict[str, list[tuple[Path, Path]]]:
    """Pairs (image, XML) in the same folder: the root as split `all`, or one folder per split."""
    if _has_xml(root):
        folders = {ALL: root}
    else:
        named = {split: root / name for name, split in SPLIT_FOLDERS.items()}
        folders = {split: folder for split, folder in named.items() if folder.is_dir()}
    pairs = {}
    for split, folder in folders.items():
        by_stem = _images_by_stem(folder)
        stems = {path.stem for path in folder.glob("*.xml")} | set(by_stem)
        pairs[split] = [
            (by_stem.get(stem, folder / f"{stem}.jpg"), folder / f"{stem}.xml")
            for stem in sorted(stems)
        ]
    return pairs


def _note_absent(
    split: str, members: list[tuple[Path, Path]], listed: bool, log: ProblemLog, allowed: bool
) -> None:
    """Note images without XML and XML without images."""
    unlabeled = [image for image, xml in members if image.is_file() and not xml.is_file()]
    if listed and not allowed:
        for image in unlabeled:
            log.add("missing_annotation", image, f"in ImageSets/Main/{split}.txt")
    else:
        note_unlabeled(split, unlabeled, len(members), log, limit=MAX_UNLABELED, allowed=allowed)
    note_missing(split, [image for image, _ in members if not image.is_file()], len(members), log)


def _read(xml: Path, log: ProblemLog) -> _Annotation | None:
    """Parse one file; return None and note a problem if it isn't a valid annotation."""
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import parse

    try:
        top = parse(xml).getroot()
        return _objects(top) if top is not None else None
    except ParseError as error:
        line, column = error.position
        reason = str(error).split(":")[0]
        log.add("broken_annotation", xml, f"line {line}, column {column + 1}: {reason}")
    except DefusedXmlException as error:
        log.add("broken_annotation", xml, f"forbidden XML construct: {error}")
    except (ValueError, UnicodeDecodeError) as error:
        log.add("broken_annotation", xml, str(error))
    return None


def _objects(top: Element) -> _Annotation:
    if top.tag != "annotation":
        raise ValueError(f"the outermost element is <{top.tag}>, not <annotation>")
    found = top.findall("object")
    width, height = (_integer(top.findtext(f"size/{side}")) for side in ("width", "height"))
    names = tuple((item.findtext("name") or "").strip() for item in found)
    if not all(names):
        raise ValueError(f"object {names.index('') + 1} has no <name>")
    return _Annotation(
        names=names,
        boxes=tuple(_box(item, number) for number, item in enumerate(found, 1)),
        difficult=tuple(_integer(item.findtext("difficult")) == 1 for item in found),
        stated_size=(width, height) if width and height else None,
    )


def _integer(text: str | None) -> int:
    """Number in a VOC field; 0 if it is missing or no number."""
    try:
        return int(float(text or 0))
    except (ValueError, OverflowError):
        return 0


def _box(item: Element, number: int) -> tuple[float, float, float, float]:
    """Read the box of an object, as xyxy in continuous pixels.

    A box with xmin == xmax would be one pixel wide. Annotation tools write it for a click without a
    drag, so it becomes a box without width, which is left out and noted.
    """
    sides = []
    for side in ("xmin", "ymin", "xmax", "ymax"):
        text = item.findtext(f"bndbox/{side}")
        try:
            sides.append(float(text or ""))
        except ValueError:
            raise ValueError(f"object {number} has no number in <{side}>") from None
    left, top, right, bottom = sides
    return (
        left - 1 if left < right else left,
        top - 1 if top < bottom else top,
        right,
        bottom,
    )


def _make(
    image: Path, xml: Path, found: _Annotation | None, labels: dict[str, int], log: ProblemLog
) -> LabeledImage | None:
    """Make the record of one image; None if the image or its annotation can't be read."""
    if not image.is_file() or (found is None and xml.is_file()):
        return None
    header = header_or_none(image, log)
    if header is None:
        return None
    return make_image(
        image,
        header,
        found.boxes if found else (),
        [labels[name] for name in found.names] if found else (),
        found.difficult if found else (),
        log,
        stated_size=found.stated_size if found else None,
    )


VOC = DatasetFormat(
    name="voc",
    layout="PASCAL VOC (Annotations/*.xml and JPEGImages/, splits in ImageSets/Main/*.txt)",
    find=find_voc,
    load=load_voc,
)
