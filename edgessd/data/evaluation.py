"""Select the images of a dataset to evaluate a detector on, with the detector's class ids."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgessd.data.dataset import Dataset, load_dataset
from edgessd.data.problems import Problem
from edgessd.metrics.ground_truth import LabeledImage

# Splits that training hasn't seen. Without them, all images are taken.
_PREFERRED_SPLITS = ("test", "val")


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationSet:
    """Labeled images to evaluate a detector on.

    Attributes:
        images: Images with `class_ids` that index the detector's labels.
        data: Name of the dataset's folder.
        split: Name of the split.
        unseen: Labels of the detector without a box in these images; AP leaves them out.
        problems: Problems of the dataset.
    """

    images: tuple[LabeledImage, ...]
    data: str
    split: str
    unseen: tuple[str, ...]
    problems: tuple[Problem, ...]


def evaluation_set(root: Path, labels: tuple[str, ...], split: str | None = None) -> EvaluationSet:
    """Load a dataset to evaluate a detector on.

    Args:
        root: Folder of the dataset.
        labels: Labels of the detector. The dataset's labels are matched by name and may be fewer.
        split: A split, or several joined with `+`; by default test, else val, else all images.

    Raises:
        DataError: There is no dataset or no such split, or the detector doesn't know a class.
    """
    dataset = load_dataset(root).relabeled(labels)
    name = split or preferred_split(dataset)
    images = dataset.split(name)
    seen = {int(class_id) for image in images for class_id in image.class_ids}
    return EvaluationSet(
        images=images,
        data=root.resolve().name,
        split=name,
        unseen=tuple(label for index, label in enumerate(labels) if index not in seen),
        problems=dataset.problems,
    )


def preferred_split(dataset: Dataset) -> str:
    """Name of the split to evaluate on by default."""
    return next((name for name in _PREFERRED_SPLITS if name in dataset.splits), "all")
