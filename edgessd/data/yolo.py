"""Read YOLO text labels (docs.ultralytics.com/datasets/detect), also in darknet's plain folders.

- `data.yaml` (any *.yaml with `names` and `train` or `val`): `path`, `train`, `val`, `test` as a
  folder, a list of folders or a .txt list of images; `names` as a list or a mapping;
- `images/` and `labels/` with `classes.txt` (or `obj.names`), with or without subfolders for splits.

A label line is `class cx cy w h` in fractions of the image. `class x1 y1 x2 y2 x3 y3 ...` is a polygon,
which is replaced by its enclosing box.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from edgessd.core.errors import DataError
from edgessd.core.images import list_images
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

_NAME_FILES = ("classes.txt", "obj.names", "names.txt")
# Annotation tools round fractions; larger values are pixels.
_LARGEST_FRACTION = 1.01


def find_yolo(root: Path) -> str | None:
    """Name the files that make `root` a YOLO dataset; None if it isn't one."""
    yaml = _yaml_file(root)
    if yaml is not None:
        return yaml.name
    if not (root / "images").is_dir() or not (root / "labels").is_dir():
        return None
    return "images/ and labels/" if next((root / "labels").rglob("*.txt"), None) else None


def load_yolo(
    root: Path, log: ProblemLog, *, allow_unlabeled: bool
) -> tuple[tuple[str, ...], Splits]:
    """Read a YOLO dataset.

    Args:
        root: Folder that `find_yolo` recognizes.
        log: Log that receives the problems.
        allow_unlabeled: Take any number of images without a label file as background.

    Returns:
        Labels in the order of their index, and the splits.

    Raises:
        DataError: The yaml file or the list of names can't be used.
    """
    yaml = _yaml_file(root)
    if yaml is not None:
        labels, images = _from_yaml(yaml)
    else:
        labels, images = _plain_names(root), _plain_splits(root)
    splits: Splits = {}
    for split, paths in images.items():
        there = [path for path in paths if path.is_file()]
        note_missing(split, [path for path in paths if not path.is_file()], len(paths), log)
        unlabeled = [path for path in there if not label_file(path).is_file()]
        note_unlabeled(
            split, unlabeled, len(there), log, limit=MAX_UNLABELED, allowed=allow_unlabeled
        )
        records = (_make(path, labels, log) for path in there)
        splits[split] = tuple(record for record in records if record is not None)
    return labels, splits


def label_file(image: Path) -> Path:
    """Path of an image's labels: its last folder `images` becomes `labels`; else beside the image."""
    parts = list(image.parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _yaml_file(root: Path) -> Path | None:
    files = sorted([*root.glob("*.yaml"), *root.glob("*.yml")], key=lambda p: p.name != "data.yaml")
    for file in files:
        try:
            content = _read_yaml(file)
        except DataError:
            if file.name == "data.yaml":
                raise
            continue
        if "names" in content and ("train" in content or "val" in content):
            return file
    return None


def _read_yaml(file: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(
            f"{file} isn't valid YAML",
            found=" ".join(str(error).split()),
            fix="Correct that line of the file",
        ) from error
    return content if isinstance(content, dict) else {}


def _from_yaml(file: Path) -> tuple[tuple[str, ...], dict[str, list[Path]]]:
    content = _read_yaml(file)
    labels = _yaml_names(file, content)
    images: dict[str, list[Path]] = {}
    for key in SPLIT_FOLDERS:
        if content.get(key):
            entries = content[key] if isinstance(content[key], list) else [content[key]]
            folders = [_locate(file, str(content.get("path") or ""), str(item)) for item in entries]
            images.setdefault(SPLIT_FOLDERS[key], []).extend(
                path for folder in folders for path in _images_of(folder)
            )
    return labels, images


def _yaml_names(file: Path, content: dict[str, Any]) -> tuple[str, ...]:
    names = content["names"]
    if isinstance(names, dict):
        if sorted(names) != list(range(len(names))):
            raise DataError(
                f"The names in {file} leave gaps",
                expected=f"indices 0 to {len(names) - 1}, each once",
                found=", ".join(str(key) for key in list(names)[:20]),
                fix="Number the names from 0 without gaps",
            )
        names = [names[index] for index in range(len(names))]
    if not isinstance(names, list) or not names:
        raise DataError(
            f"{file} names no classes",
            expected="names: a list or a mapping",
            found=f"names: {names!r}",
            fix="List the class names in the order of their indices",
        )
    if "nc" in content and content["nc"] != len(names):
        raise DataError(
            f"{file} contradicts itself",
            expected=f"nc: {content['nc']} names",
            found=f"{len(names)} names",
            fix="Correct nc or names",
        )
    return _distinct(file, [str(name) for name in names])


def _distinct(file: Path, names: list[str]) -> tuple[str, ...]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not names:
        raise DataError(
            f"The class names in {file} can't be used",
            expected="at least one name, each once",
            found=f"{', '.join(twice)} more than once" if twice else "none",
            fix="Correct the list of names",
        )
    return tuple(names)


def _locate(file: Path, base: str, entry: str) -> Path:
    """Find the folder or list that a split's entry names.

    `path` is relative to the yaml file. Some exports write `../train/images` for a folder beside the
    yaml file, so this place is tried last.
    """
    candidates = [file.parent / base / entry, file.parent / entry]
    if entry.startswith("../"):
        candidates.append(file.parent / entry[3:])
    for candidate in candidates:
        if candidate.exists():
            return candidate
    raise DataError(
        f"{file} names {entry!r}, which doesn't exist",
        expected=" or ".join(dict.fromkeys(str(path) for path in candidates)),
        fix="Correct `path` or the split in the yaml file",
    )


def _images_of(place: Path) -> list[Path]:
    if place.is_dir():
        return list_images(place)
    lines = place.read_text(encoding="utf-8-sig").splitlines()
    return [place.parent / line.strip() for line in lines if line.strip()]


def _plain_names(root: Path) -> tuple[str, ...]:
    for folder in (root, root / "labels"):
        for name in _NAME_FILES:
            if (folder / name).is_file():
                lines = (folder / name).read_text(encoding="utf-8-sig").splitlines()
                return _distinct(folder / name, [line.strip() for line in lines if line.strip()])
    raise DataError(
        f"{root} has YOLO labels but no list of class names",
        expected="data.yaml with `names`, or classes.txt with one name per line",
        found=", ".join(sorted(path.name for path in root.iterdir())),
        fix="Write classes.txt in the order of the class indices",
    )


def _plain_splits(root: Path) -> dict[str, list[Path]]:
    splits: dict[str, list[Path]] = {}
    for path in list_images(root / "images"):
        top = path.relative_to(root / "images").parts[0]
        splits.setdefault(SPLIT_FOLDERS.get(top, ALL), []).append(path)
    return splits


def _make(image: Path, labels: tuple[str, ...], log: ProblemLog) -> LabeledImage | None:
    """Make the record of one image; None if the image is broken."""
    header = header_or_none(image, log)
    if header is None:
        return None
    boxes: list[tuple[float, float, float, float]] = []
    class_ids: list[int] = []
    file = label_file(image)
    if file.is_file():
        for number, line in enumerate(_lines(file, log), 1):
            words = line.split()
            found = _parse(words, file, number, labels, log) if words else None
            if found is not None:
                class_ids.append(found[0])
                boxes.append(found[1])
    scale = (header.width, header.height, header.width, header.height)
    pixels = [tuple(v * s for v, s in zip(box, scale, strict=True)) for box in boxes]
    return make_image(image, header, pixels, class_ids, [False] * len(boxes), log)


def _lines(file: Path, log: ProblemLog) -> list[str]:
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        log.add("broken_annotation", file, f"not a text file ({error.reason})")
        return []


def _parse(
    words: list[str], file: Path, number: int, labels: tuple[str, ...], log: ProblemLog
) -> tuple[int, tuple[float, float, float, float]] | None:
    """Read class index and xyxy in fractions from one line; return None and note a problem if invalid."""
    place = f"line {number}"
    try:
        index, *values = (float(word) for word in words)
    except ValueError:
        log.add("malformed_label", file, f"{place}: {' '.join(words)[:60]!r} aren't all numbers")
        return None
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        log.add("malformed_label", file, f"{place}: {len(words)} numbers instead of 5 or a polygon")
        return None
    if not all(math.isfinite(value) and abs(value) <= _LARGEST_FRACTION for value in values):
        log.add("malformed_label", file, f"{place}: {max(values):g} isn't a fraction of the image")
        return None
    if index != int(index) or not 0 <= index < len(labels):
        log.add(
            "unknown_class", file, f"{place}: class {index:g}, names are 0 to {len(labels) - 1}"
        )
        return None
    if len(values) == 4:
        x, y, width, height = values
        return int(index), (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    xs, ys = values[0::2], values[1::2]
    return int(index), (min(xs), min(ys), max(xs), max(ys))


YOLO = DatasetFormat(
    name="yolo",
    layout="YOLO (data.yaml with names, train and val; or images/, labels/ and classes.txt)",
    find=find_yolo,
    load=load_yolo,
)
