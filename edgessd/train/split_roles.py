"""Roles of a dataset's images in a training: to train on, to pick the best checkpoint, to report."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edgessd.core.errors import DataError
from edgessd.data.dataset import Dataset
from edgessd.data.split_names import ALL
from edgessd.metrics.ground_truth import LabeledImage
from edgessd.train.config import DataSettings

_FINAL_SPLIT = "test"
_FEWEST_FOR_HOLDOUT = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Roles:
    """Images by their role; no image has two.

    Attributes:
        train: Training images.
        evaluation: Evaluation images; may be empty.
        evaluated: Time of the evaluations. `every`: during training, and they pick best.pt. `final`:
            once after the last step, and the result picks nothing. `never`: there are no
            evaluation images.
        description: One sentence about the choice.
    """

    train: tuple[LabeledImage, ...]
    evaluation: tuple[LabeledImage, ...]
    evaluated: Literal["every", "final", "never"]
    description: str


def assign_roles(dataset: Dataset, settings: DataSettings, *, seed: int) -> Roles:
    """Assign the images of a dataset to training and evaluation.

    Args:
        dataset: The dataset with its splits.
        settings: Names of the splits, and the held-out fraction if there is no `val`.
        seed: Seed of the held-out choice.

    Raises:
        DataError: A split doesn't exist or is empty, or an image would be in both roles.
    """
    names = settings.train_splits
    if names == ("train",) and "train" not in dataset.splits and ALL in dataset.splits:
        names = (ALL,)
    trained = " + ".join(names)
    train = dataset.split("+".join(names))
    if not any(len(image.boxes) for image in train):
        raise DataError(
            "The training images show no objects",
            expected=f"at least one image with a box in {trained}",
            found=f"{len(train)} images without any box",
            fix="`edgessd data check` shows what the folder holds",
        )
    trained_on = {image.path for image in train}
    val_trains = any(image.path in trained_on for image in dataset.splits.get("val", ()))
    wanted = settings.val_split
    if wanted == "auto" and "val" in dataset.splits and not val_trains:
        wanted = "val"
    if wanted not in ("auto", "none"):
        return _named_evaluation(dataset, train, trained, wanted)
    if wanted == "none" or val_trains:
        description = (
            f"{len(train)} training images ({trained}), none for evaluation: best.pt will be the "
            "last weights"
        )
        return Roles(train=train, evaluation=(), evaluated="never", description=description)
    kept, held_out = _hold_out(train, settings.holdout, seed)
    if not held_out:
        description = (
            f"{len(train)} training images ({trained}), too few to hold any out for evaluation: "
            "best.pt will be the last weights"
        )
        return Roles(train=train, evaluation=(), evaluated="never", description=description)
    description = (
        f"{len(kept)} training images ({trained}); there is no val split, so {len(held_out)} more "
        "are held out to pick the best checkpoint"
    )
    return Roles(train=kept, evaluation=held_out, evaluated="every", description=description)


def _named_evaluation(
    dataset: Dataset, train: tuple[LabeledImage, ...], trained: str, name: str
) -> Roles:
    evaluation = dataset.split(name)
    shared = {image.path for image in train} & {image.path for image in evaluation}
    if shared:
        raise DataError(
            f"The split {name!r} can't be evaluated on, because its images are trained on",
            expected="no image in both",
            found=f"{len(shared)} of its {len(evaluation)} images in {trained}",
            fix="Name another split with --val-split, or `none`",
        )
    if name == _FINAL_SPLIT:
        description = (
            f"{len(train)} training images ({trained}); {len(evaluation)} images of {name} are "
            "evaluated once, after the last step, and pick nothing"
        )
        return Roles(train=train, evaluation=evaluation, evaluated="final", description=description)
    description = (
        f"{len(train)} training images ({trained}); {len(evaluation)} images of {name} pick the "
        "best checkpoint"
    )
    return Roles(train=train, evaluation=evaluation, evaluated="every", description=description)


def _hold_out(
    images: Sequence[LabeledImage], fraction: float, seed: int
) -> tuple[tuple[LabeledImage, ...], tuple[LabeledImage, ...]]:
    """Divide a list by the hash of the file names, so that its order doesn't matter."""
    if len(images) < _FEWEST_FOR_HOLDOUT or fraction <= 0:
        return tuple(images), ()
    count = max(1, round(len(images) * fraction))
    ranked = sorted(
        images, key=lambda image: hashlib.sha256(f"{seed}/{image.path.name}".encode()).digest()
    )
    held_out = {image.path for image in ranked[:count]}
    kept = tuple(image for image in images if image.path not in held_out)
    return kept, tuple(image for image in images if image.path in held_out)
