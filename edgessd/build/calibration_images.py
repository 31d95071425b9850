"""Choose the images that a build calibrates with."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgessd.calibrate.calibration_set import CalibrationSet, KnownDataset, evenly
from edgessd.core.errors import CalibrationError, DataError
from edgessd.core.images import list_images
from edgessd.data.dataset import Dataset, load_dataset, recognize_format
from edgessd.metrics.ground_truth import LabeledImage

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RUN_CONFIG = "config.toml"
_WAY_OUT = "Name a folder of images like those the camera will see: --calibration DIR"


def images_in(folder: Path, *, limit: int) -> CalibrationSet:
    """Choose up to `limit` images of a folder; from a labeled dataset, only training images.

    Raises:
        DataError: There is no such folder, or its dataset can't be read.
    """
    try:
        recognize_format(folder)
    except DataError:  # not a dataset: a plain folder of photos, which needs no labels
        return CalibrationSet(evenly(list_images(folder), limit), source=str(folder))
    return _training_images(folder, ("train",), limit)


def images_of_run(checkpoint: Path, *, limit: int) -> CalibrationSet:
    """Choose up to `limit` of a checkpoint's training images, by the config in its run's folder.

    Raises:
        CalibrationError: The checkpoint isn't in a run's folder, or its dataset has moved.
    """
    config = checkpoint.parent / RUN_CONFIG
    if not config.is_file():
        raise CalibrationError(
            f"The training images of {checkpoint} aren't known",
            expected=f"{RUN_CONFIG} of its training in the same folder",
            fix=_WAY_OUT,
        )
    folder, splits = _training_data(config)
    if folder is None or not folder.is_dir():
        raise CalibrationError(
            f"The dataset that {checkpoint} was trained on isn't there",
            expected=f"the folder that {config} names, seen from here",
            found=str(folder or "none"),
            fix=_WAY_OUT,
        )
    return _training_images(folder, splits, limit)


def _training_images(folder: Path, splits: tuple[str, ...], limit: int) -> CalibrationSet:
    dataset = load_dataset(folder)
    if splits == ("train",) and "train" not in dataset.splits:
        if set(dataset.splits) != {"all"}:
            raise CalibrationError(
                f"{folder} has no images to calibrate with: its images are for evaluation, and calibrating "
                "with them would flatter the detector",
                expected="a split called train",
                found=", ".join(dataset.splits),
                fix=_WAY_OUT,
            )
        splits = ("all",)
    return chosen_among(dataset.split("+".join(splits)), dataset, splits, limit=limit)


def chosen_among(
    images: Sequence[LabeledImage], dataset: Dataset, splits: tuple[str, ...], *, limit: int
) -> CalibrationSet:
    """Choose up to `limit` training images, spread evenly over their sorted names.

    Args:
        images: Training images, all or part of the splits.
        dataset: Dataset of the images.
        splits: Names of the training splits.
        limit: Largest number of images.
    """
    paths = tuple(evenly(sorted(image.path for image in images), limit))
    return CalibrationSet(
        paths,
        source=f"{dataset.root}, {' + '.join(splits)}",
        dataset=_known(dataset, splits, set(paths)),
    )


def _known(dataset: Dataset, splits: tuple[str, ...], chosen: Collection[Path]) -> KnownDataset:
    images = dataset.split("+".join(splits))
    trained_on = {image.path for image in images}
    others = {name: tuple(image.path for image in part) for name, part in dataset.splits.items()}
    return KnownDataset(
        name=dataset.root.resolve().name,
        trained=_boxes(images, dataset.labels),
        calibrated=_boxes([image for image in images if image.path in chosen], dataset.labels),
        # By images, not by names: `trainval` and `all` contain several splits.
        evaluation={name: part for name, part in others.items() if not trained_on.issuperset(part)},
    )


def _boxes(images: Sequence[LabeledImage], labels: tuple[str, ...]) -> dict[str, int]:
    ids = np.concatenate([np.zeros(0, np.int64), *(image.class_ids for image in images)])
    return dict(zip(labels, np.bincount(ids, minlength=len(labels)).tolist(), strict=True))


def with_evaluation_of(images: CalibrationSet, checkpoint: Path) -> CalibrationSet:
    """Add the evaluation images that the checkpoint's run names, so that the audit finds leaks."""
    config = checkpoint.parent / RUN_CONFIG
    if images.dataset is not None or not config.is_file():
        return images
    folder, splits = _training_data(config)
    if folder is None or not folder.is_dir():
        return images
    return with_evaluation_in(images, load_dataset(folder), splits)


def with_evaluation_in(
    images: CalibrationSet, dataset: Dataset, splits: tuple[str, ...]
) -> CalibrationSet:
    """Add the images of a dataset's other splits, so that the audit finds leaks."""
    if images.dataset is not None or not set(splits) <= set(dataset.splits):
        return images
    # The photos have no labels, so the audit can't count classes.
    known = replace(_known(dataset, splits, ()), trained={}, calibrated={})
    return images.with_dataset(known)


def _training_data(config: Path) -> tuple[Path | None, tuple[str, ...]]:
    """Read the dataset's folder and the training splits from a run's config."""
    try:
        section = tomllib.loads(config.read_text(encoding="utf-8")).get("data", {})
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise CalibrationError(f"{config} can't be read", found=str(error), fix=_WAY_OUT) from error
    path = section.get("path")
    return Path(path) if path else None, tuple(section.get("train_splits", ("train",)))
