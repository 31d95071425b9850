"""Read COCO JSON (cocodataset.org/#format-data), also in Roboflow's layout.

- `annotations/*.json` (only instances_*.json if such files exist) or `*.json` in the folder;
- `train/_annotations.coco.json` and the like: one file in each split's folder.

Images are searched beside the file, in `images/`, and in folders named after the file. bbox is
x, y, width, height in continuous pixels; `iscrowd` boxes are ignored, neither hits nor misses.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgessd.core.errors import DataError
from edgessd.core.images import list_images
from edgessd.data.dataset_format import DatasetFormat
from edgessd.data.objects import header_or_none, make_image
from edgessd.data.problems import ProblemLog
from edgessd.data.split_names import (
    ALL,
    MAX_EMPTY,
    MAX_UNLABELED,
    SPLIT_FOLDERS,
    Splits,
    note_missing,
    note_unlabeled,
    split_name,
)
from edgessd.metrics.ground_truth import LabeledImage

_SIZEABLE_SPLIT = 10
_KEYS = (b'"images"', b'"annotations"', b'"categories"')


class _Image(msgspec.Struct):
    id: int | str
    file_name: str
    width: int = 0
    height: int = 0


class _Annotation(msgspec.Struct):
    image_id: int | str
    category_id: int
    bbox: list[float]
    id: int | str = 0
    iscrowd: int | bool = 0


class _Category(msgspec.Struct):
    id: int
    name: str
    supercategory: str | None = None


class _File(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def find_coco(root: Path) -> str | None:
    """Name the files that make `root` a COCO dataset; None if it isn't one."""
    files = _files(root)
    return ", ".join(str(file.relative_to(root)) for file in files[:3]) if files else None


def load_coco(
    root: Path, log: ProblemLog, *, allow_unlabeled: bool
) -> tuple[tuple[str, ...], Splits]:
    """Read a COCO dataset.

    Args:
        root: Folder that `find_coco` recognizes.
        log: Log that receives the problems.
        allow_unlabeled: Take any number of images without annotations as background.

    Returns:
        Labels in the order of their category ids, and the splits.

    Raises:
        DataError: The categories of the files disagree or name nothing, or no image is found.
    """
    contents = {}
    for file in _files(root):
        content = _read(file, log)
        if content is not None:
            contents[file] = content
    if not contents:
        return (), {}
    ids, labels = _labels(contents, log)
    folders = {file: _image_folder(root, file, item.images) for file, item in contents.items()}
    splits: Splits = {}
    for file, split in _split_names(list(contents)).items():
        objects = _by_image(file, contents[file], ids, log)
        splits[split] = _load_split(split, folders[file], contents[file].images, objects, ids, log)
    _note_empty(splits, log, allowed=allow_unlabeled)
    _note_unlisted(contents, folders, log)
    return labels, splits


def _files(root: Path) -> list[Path]:
    """Find annotation files by their names and by the three keys of COCO's detection files."""
    for folder in (root / "annotations", root):
        found = sorted(folder.glob("*.json")) if folder.is_dir() else []
        instances = [file for file in found if file.name.startswith("instances_")]
        files = [file for file in instances or found if _has_keys(file)]
        if files:
            return files
    in_folders = [file for name in SPLIT_FOLDERS for file in sorted((root / name).glob("*.json"))]
    return [file for file in in_folders if _has_keys(file)]


def _has_keys(file: Path) -> bool:
    """True if the file has the keys of a detection file; captions and panoptic files don't.

    A file of another kind may contain these words elsewhere; `_read` then reports it.
    """
    content = file.read_bytes()
    return all(key in content for key in _KEYS) and b'"segments_info"' not in content


def _read(file: Path, log: ProblemLog) -> _File | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        log.add("broken_annotation", file, str(error))
        return None


def _split_names(files: list[Path]) -> dict[Path, str]:
    """Find the split of each file in its name or its folder's; file names are used if two are equal."""
    if len(files) == 1:
        file = files[0]
        return {file: split_name(file.stem) or split_name(file.parent.name) or ALL}
    names = {file: split_name(file.stem) or split_name(file.parent.name) for file in files}
    if None in names.values() or len(set(names.values())) < len(files):
        return {file: file.stem.removeprefix("instances_") for file in files}
    return {file: name for file, name in names.items() if name is not None}


def _labels(contents: dict[Path, _File], log: ProblemLog) -> tuple[dict[int, int], tuple[str, ...]]:
    """Return class indices by category id, and the labels in the order of the ids."""
    names: dict[int, str] = {}
    for file, content in contents.items():
        for category in content.categories:
            if names.setdefault(category.id, category.name) != category.name:
                raise DataError(
                    f"The files in {file.parent} give two names for category {category.id}",
                    expected="the same categories in each split",
                    found=f"{names[category.id]!r} and {category.name!r} ({file.name})",
                    fix="Use one name in all files",
                )
    for category_id in _root_categories(contents):
        log.add("root_category", f"{names.pop(category_id)} (id {category_id})")
    labels = tuple(names[category_id] for category_id in sorted(names))
    if not labels or len(set(labels)) < len(labels):
        twice = sorted({label for label in labels if labels.count(label) > 1})
        raise DataError(
            f"The categories of {next(iter(contents))} can't be used",
            expected="at least one category, each name once",
            found=f"{', '.join(twice)} more than once" if twice else "none",
            fix="Correct the categories of the file",
        )
    return {category_id: index for index, category_id in enumerate(sorted(names))}, labels


def _root_categories(contents: dict[Path, _File]) -> list[int]:
    """Find categories without boxes that other categories name as their group, as in Roboflow's id 0."""
    used = {item.category_id for content in contents.values() for item in content.annotations}
    categories = [item for content in contents.values() for item in content.categories]
    groups = {item.supercategory for item in categories if item.supercategory != item.name}
    return sorted(
        {
            item.id
            for item in categories
            if item.id not in used
            and item.name in groups
            and item.supercategory in (None, "", "none")
        }
    )


def _by_image(
    file: Path, content: _File, ids: dict[int, int], log: ProblemLog
) -> dict[int | str, list[_Annotation]]:
    """Collect the usable annotations of each image id, and note the others."""
    objects: dict[int | str, list[_Annotation]] = {image.id: [] for image in content.images}
    for number, item in enumerate(content.annotations):
        place = f"annotation {item.id or number}"
        if item.image_id not in objects:
            log.add("malformed_label", file, f"{place}: there is no image {item.image_id}")
        elif len(item.bbox) != 4:
            log.add("malformed_label", file, f"{place}: bbox has {len(item.bbox)} numbers, not 4")
        elif item.category_id not in ids:
            log.add("unknown_class", file, f"{place}: category {item.category_id}")
        else:
            objects[item.image_id].append(item)
    return objects


def _load_split(
    split: str,
    folder: Path,
    images: list[_Image],
    objects: dict[int | str, list[_Annotation]],
    ids: dict[int, int],
    log: ProblemLog,
) -> tuple[LabeledImage, ...]:
    paths = {image.id: folder / image.file_name for image in images}
    there = {image_id: path for image_id, path in paths.items() if path.is_file()}
    missing = [path for image_id, path in paths.items() if image_id not in there]
    note_missing(split, missing, len(paths), log)
    records = (
        _make(there[image.id], image, objects[image.id], ids, log)
        for image in images
        if image.id in there
    )
    return tuple(record for record in records if record is not None)


def _note_empty(splits: Splits, log: ProblemLog, *, allowed: bool) -> None:
    """Note images without annotations if there are more of them than backgrounds usually are.

    In COCO, an image without annotations means "nothing here", so up to a fifth of them isn't noted.
    All splits are counted together, because a small split may be empty by chance. A larger split
    without any box is noted by itself.
    """
    empty = {
        split: [image.path for image in images if not len(image.boxes)]
        for split, images in splits.items()
    }
    total = sum(map(len, splits.values()))
    count = sum(map(len, empty.values()))
    for split, paths in empty.items():
        images = len(splits[split])
        blank = len(paths) == images >= _SIZEABLE_SPLIT
        if blank or count >= MAX_EMPTY * total > 0:
            note_unlabeled(split, paths, images, log, limit=0, allowed=allowed)
        elif count > MAX_UNLABELED * total:
            note_unlabeled(split, paths, images, log, limit=1, allowed=allowed)


def _note_unlisted(contents: dict[Path, _File], folders: dict[Path, Path], log: ProblemLog) -> None:
    """Note image files beside the annotated ones that no annotation file lists."""
    listed = {
        folders[file] / image.file_name for file in contents for image in contents[file].images
    }
    for folder in sorted(set(folders.values())):
        for path in list_images(folder):
            if path not in listed:
                log.add("unlisted_image", path)


def _image_folder(root: Path, file: Path, images: list[_Image]) -> Path:
    """Find the folder that file names are relative to: the one that holds most of a sample of them."""
    stem = file.stem.removeprefix("instances_")
    split = split_name(stem) or ""
    aliases = [name for name, meaning in SPLIT_FOLDERS.items() if meaning == split]
    candidates = [file.parent, root, root / "images", root / "data"]
    for name in (stem, *aliases):
        candidates += [root / name, root / "images" / name, root / name / "images"]
    sample = images[:: max(1, len(images) // 50)]
    hits = [sum((folder / image.file_name).is_file() for image in sample) for folder in candidates]
    if max(hits, default=0) == 0 and images:
        raise DataError(
            f"None of the images that {file} lists exist",
            expected=f"{images[0].file_name} in "
            + ", ".join(dict.fromkeys(str(folder) for folder in candidates)),
            found=", ".join(sorted(path.name for path in root.iterdir())[:12]),
            fix=f"Put the images into {root / 'images'}",
        )
    return candidates[hits.index(max(hits))]


def _make(
    path: Path, image: _Image, objects: list[_Annotation], ids: dict[int, int], log: ProblemLog
) -> LabeledImage | None:
    """Make the record of one image; None if the image is broken."""
    header = header_or_none(path, log)
    if header is None:
        return None
    return make_image(
        path,
        header,
        [(x, y, x + width, y + height) for x, y, width, height in (o.bbox for o in objects)],
        [ids[item.category_id] for item in objects],
        [bool(item.iscrowd) for item in objects],
        log,
        stated_size=(image.width, image.height) if image.width and image.height else None,
    )


COCO = DatasetFormat(
    name="coco",
    layout="COCO (annotations/*.json or train/_annotations.coco.json, images in images/)",
    find=find_coco,
    load=load_coco,
)
