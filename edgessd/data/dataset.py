"""Labeled images in splits, read from COCO JSON, PASCAL VOC XML or YOLO txt.

`load_dataset` recognizes the format by the files in the folder. It refuses a dataset with errors that
would spoil training or evaluation, and lists lesser problems in `Dataset.problems`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgessd.core.errors import DataError
from edgessd.data.coco import COCO
from edgessd.data.dataset_format import DatasetFormat
from edgessd.data.problems import Problem, ProblemLog, refuse
from edgessd.data.split_names import Splits
from edgessd.data.voc import VOC
from edgessd.data.yolo import YOLO
from edgessd.metrics.ground_truth import LabeledImage

FORMATS = (COCO, VOC, YOLO)

_ORDER = {"train": 0, "val": 1, "trainval": 2, "test": 3}


@dataclass(frozen=True, kw_only=True, slots=True)
class Dataset:
    """Labeled images.

    Attributes:
        labels: Names of the classes, in the order of `class_ids`.
        splits: Images of each split, usually train, val and test; only `all` if there are no splits.
            `problems` lists images that are in more than one split.
        root: Folder of the dataset.
        format: `coco`, `voc` or `yolo`.
        problems: Problems of the dataset and the way each was handled.
    """

    labels: tuple[str, ...]
    splits: Splits
    root: Path
    format: str
    problems: tuple[Problem, ...] = ()

    def split(self, name: str) -> tuple[LabeledImage, ...]:
        """Return the images of one split, or of several splits joined with `+`.

        If there is no split of that name, `trainval` means train+val and `all` means all images.

        Raises:
            DataError: There is no such split.
        """
        if name in self.splits:
            return self.splits[name]
        parts = name.replace("trainval", "train+val").split("+")
        if name == "all":
            parts = list(self.splits)
        unknown = [part for part in parts if part not in self.splits]
        if unknown:
            raise DataError(
                f"{self.root} has no split {unknown[0]!r}",
                expected=f"one of {', '.join(self.splits)}, or several as train+val",
                fix=f"`edgessd data convert {self.root} DIR --split 0.8,0.1,0.1` splits a dataset",
            )
        together = {image.path: image for part in parts for image in self.splits[part]}
        return tuple(together.values())

    def relabeled(self, labels: tuple[str, ...]) -> Dataset:
        """Copy the dataset with class ids that index `labels`, matched by name.

        A detector may have more classes than the dataset, in another order.

        Raises:
            DataError: The dataset has boxes of a class that isn't in `labels`.
        """
        if labels == self.labels:
            return self
        missing = [label for label in self._used_labels() if label not in labels]
        if missing:
            raise DataError(
                f"{self.root} has classes that the detector doesn't know: {', '.join(missing)}",
                expected=f"only {', '.join(labels)}",
                fix="Use a dataset of the detector's classes, or rename the dataset's classes",
            )
        indices = np.array(
            [labels.index(label) if label in labels else -1 for label in self.labels], np.int64
        )
        splits = {
            name: tuple(replace(image, class_ids=indices[image.class_ids]) for image in images)
            for name, images in self.splits.items()
        }
        return replace(self, labels=labels, splits=splits)

    def _used_labels(self) -> list[str]:
        used = {
            int(class_id)
            for images in self.splits.values()
            for image in images
            for class_id in image.class_ids
        }
        return [self.labels[index] for index in sorted(used)]


def load_dataset(root: Path, *, strict: bool = True, allow_unlabeled: bool = False) -> Dataset:
    """Read the dataset in a folder.

    Args:
        root: The folder.
        strict: Refuse a dataset with errors. Otherwise errors are listed in `problems`, as
            `edgessd data check` needs them.
        allow_unlabeled: Take any number of images without labels as background.

    Raises:
        DataError: No format or more than one is recognized, no image has a box, or, with `strict`, the
            problems include an error.
    """
    root = Path(root)
    dataset_format = recognize_format(root)
    log = ProblemLog(root)
    labels, splits = dataset_format.load(root, log, allow_unlabeled=allow_unlabeled)
    order = sorted(splits, key=lambda split: (_ORDER.get(split, len(_ORDER)), split))
    splits = {split: splits[split] for split in order if splits[split]}
    _note_overlap(splits, log)
    dataset = Dataset(
        labels=labels, splits=splits, root=root, format=dataset_format.name, problems=log.problems()
    )
    if strict:
        refuse(root, dataset.problems)
    boxes = [image.class_ids for images in splits.values() for image in images]
    counts = Counter(np.concatenate(boxes).tolist()) if boxes else Counter()
    if not counts:
        refuse(root, dataset.problems)
        raise DataError(
            f"The dataset {root} is empty",
            expected="images with at least one labeled box",
            found=f"{sum(map(len, splits.values()))} images and no box ({dataset_format.name.upper()})",
            fix="Label images first, or name the folder that holds the labels",
        )
    for index, label in enumerate(labels):
        if index not in counts:
            log.add("unused_class", label)
    return replace(dataset, problems=log.problems())


def recognize_format(root: Path) -> DatasetFormat:
    """Recognize the format of the dataset in a folder.

    Raises:
        DataError: The folder is missing, or no format or more than one is recognized.
    """
    if not root.is_dir():
        raise DataError(
            f"There is no dataset folder {root}",
            expected="a folder with images and annotations",
            found="a file" if root.exists() else "nothing",
            fix="Correct the path",
        )
    signs = [(known, sign) for known in FORMATS if (sign := known.find(root)) is not None]
    if len(signs) == 1:
        return signs[0][0]
    if signs:
        raise DataError(
            f"{root} holds annotations in more than one format",
            expected=f"one of {', '.join(known.name.upper() for known in FORMATS)}",
            found="; ".join(f"{known.name.upper()} ({sign})" for known, sign in signs),
            fix="Move the annotations of the other formats elsewhere",
        )
    raise DataError(
        f"{root} is not a dataset that edgessd recognizes",
        expected="; or ".join(known.layout for known in FORMATS),
        found=_contents(root),
        fix=_hint(root),
    )


def _contents(root: Path) -> str:
    names = sorted(
        path.name + ("/" if path.is_dir() else "")
        for path in root.iterdir()
        if not path.name.startswith(".")
    )
    if not names:
        return "an empty folder"
    more = f" and {len(names) - 8:,} more" if len(names) > 8 else ""
    return ", ".join(names[:8]) + more


def _hint(root: Path) -> str:
    """Name a dataset in a subfolder, because archives often unpack to one, or else around the folder."""
    folders = [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
    folders += [path for folder in folders for path in folder.iterdir() if path.is_dir()]
    for folder in [*folders[:200], root.resolve().parent]:
        for known in FORMATS:
            if sign := known.find(folder):
                looks = f"it looks like {known.name.upper()} ({sign})"
                return f"Name the folder {folder} if that is the dataset: {looks}"
    return "Arrange the files in one of these layouts, or export them again in one of these formats"


def _note_overlap(splits: Splits, log: ProblemLog) -> None:
    homes: dict[Path, list[str]] = {}
    for split, images in splits.items():
        for image in images:
            homes.setdefault(image.path, []).append(split)
    for path, names in homes.items():
        if len(names) > 1:
            log.add("split_overlap", path, " and ".join(names))
