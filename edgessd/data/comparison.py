"""Every image of some folders, with ground truth where there is any: what detectors are compared on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgessd.core.errors import DataError
from edgessd.core.images import list_images
from edgessd.data.dataset import load_dataset, recognize_format
from edgessd.metrics.ground_truth import LabeledImage


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparisonSet:
    """Images to compare detectors on.

    Attributes:
        images: Files, each once.
        truth: Ground truth of those that have it, with class ids of the detector's labels.
        notes: Which folder's labels aren't used, and why.
    """

    images: tuple[Path, ...]
    truth: dict[Path, LabeledImage]
    notes: tuple[str, ...]


def comparison_set(
    folders: Sequence[Path], labels: tuple[str, ...], *, images_only: bool = False
) -> ComparisonSet:
    """All images of all folders.

    Args:
        folders: Datasets, of which every split is taken, or plain folders of images.
        labels: Of the detector. A dataset with a class it doesn't know gives images without truth.
        images_only: Take every folder as a plain one.

    Raises:
        DataError: If a folder is missing or has no image, or a dataset is broken.
    """
    images: dict[Path, None] = {}
    truth: dict[Path, LabeledImage] = {}
    notes: list[str] = []
    for folder in folders:
        if images_only or not _is_dataset(folder):
            found = list_images(folder)
        else:
            dataset = load_dataset(folder)
            found = [image.path for image in dataset.split("all")]
            try:
                known = dataset.relabeled(labels)
            except DataError as error:
                notes.append(f"Labels aren't used: {error.paragraph()}")
            else:
                truth.update((image.path, image) for image in known.split("all"))
        if not found:
            raise DataError(
                f"There is no image in {folder}", expected="a dataset or a folder of images"
            )
        images.update(dict.fromkeys(found))
    return ComparisonSet(images=tuple(images), truth=truth, notes=tuple(notes))


def _is_dataset(folder: Path) -> bool:
    """Whether the folder is a dataset; one that holds plain images isn't."""
    try:
        recognize_format(folder)
    except DataError:
        # Two formats in one folder, or no folder at all, aren't plain images either.
        if not folder.is_dir() or not list_images(folder):
            raise
        return False
    return True
