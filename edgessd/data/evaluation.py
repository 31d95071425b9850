"""Which images of a dataset a detector is measured on, with class ids that are the detector's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgessd.data.dataset import Dataset, load_dataset
from edgessd.data.problems import Problem
from edgessd.metrics.ground_truth import LabeledImage

# Images that training has seen measure nothing, so they come last.
_PREFERRED_SPLITS = ("test", "val")


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationSet:
    """Labelled images to measure on.

    Attributes:
        images: With `class_ids` that index the detector's labels.
        data: Name of the dataset's folder.
        split: Which split they are.
        unseen: Labels of the detector that no box of these images has; AP leaves them out.
        problems: What was wrong with the dataset.
    """

    images: tuple[LabeledImage, ...]
    data: str
    split: str
    unseen: tuple[str, ...]
    problems: tuple[Problem, ...]


def evaluation_set(root: Path, labels: tuple[str, ...], split: str | None = None) -> EvaluationSet:
    """Load a dataset to measure a detector on.

    Args:
        root: The dataset's folder.
        labels: Of the detector; the dataset's are matched by name and may be fewer.
        split: A split, or several joined with `+`; None takes test, else val, else all images.

    Raises:
        DataError: If there is no dataset, no such split, or a class that the detector doesn't know.
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
    """The split to measure on where none is asked for."""
    return next((name for name in _PREFERRED_SPLITS if name in dataset.splits), "all")
