"""Collect images for the comparison of detectors, with ground truth if they have any."""

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
    """Images for the comparison of detectors.

    Attributes:
        images: Distinct image files.
        truth: Ground truth by image file, with class ids that index the detector's labels.
        notes: One sentence for each folder whose labels aren't used.
    """

    images: tuple[Path, ...]
    truth: dict[Path, LabeledImage]
    notes: tuple[str, ...]


def comparison_set(
    folders: Sequence[Path], labels: tuple[str, ...], *, images_only: bool = False
) -> ComparisonSet:
    """Collect all images of all folders.

    Args:
        folders: Datasets, of which all splits are taken, or plain folders of images.
        labels: Labels of the detector. A dataset with another class gives images without truth.
        images_only: Take all folders as plain folders of images.

    Raises:
        DataError: A folder is missing or has no image, or a dataset is broken.
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
                f"There is no image in {folder}",
                expected="a dataset or a folder of images",
                fix="Name another folder",
            )
        images.update(dict.fromkeys(found))
    return ComparisonSet(images=tuple(images), truth=truth, notes=tuple(notes))


def _is_dataset(folder: Path) -> bool:
    """True if the folder is a dataset, false if it is a plain folder of images."""
    try:
        recognize_format(folder)
    except DataError:
        # A missing folder or two formats in one folder are errors, not plain images.
        if not folder.is_dir() or not list_images(folder):
            raise
        return False
    return True
