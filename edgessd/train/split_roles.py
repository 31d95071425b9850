"""Which images train, which pick the best checkpoint, and which only evaluation the last one."""

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
    """Images by what they are for; none is in both lists.

    Attributes:
        train: Trained on.
        evaluation: Evaluated on; may be empty.
        evaluated: `every`: evaluated as training goes, and picks best.pt. `final`: evaluated once after
            the last step, picks nothing. `never`: there is nothing to evaluate on.
        description: One sentence about the choice.
    """

    train: tuple[LabeledImage, ...]
    evaluation: tuple[LabeledImage, ...]
    evaluated: Literal["every", "final", "never"]
    description: str


def assign_roles(dataset: Dataset, settings: DataSettings, *, seed: int) -> Roles:
    """Pick the images of a training.

    Raises:
        DataError: A split that isn't there, is empty, or is both trained on and evaluated on.
    """
    names = settings.train_splits
    if names == ("train",) and "train" not in dataset.splits and ALL in dataset.splits:
        names = (ALL,)
    trained = " + ".join(names)
    train = dataset.split("+".join(names))
    if not any(len(image.boxes) for image in train):
        raise DataError(
            "There is nothing to learn",
            expected=f"at least one image with a box in {trained}",
            found=f"{len(train)} images without any box",
            fix="Run `edgessd data check` on the folder",
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
            f"{len(train)} images of {trained} train; none evaluate, so best.pt is the last"
        )
        return Roles(train=train, evaluation=(), evaluated="never", description=description)
    kept, held_out = _hold_out(train, settings.holdout, seed)
    if not held_out:
        description = (
            f"{len(train)} images of {trained} are too few to hold any out; best.pt is the last"
        )
        return Roles(train=train, evaluation=(), evaluated="never", description=description)
    description = (
        f"{len(kept)} images of {trained} train; there is no val split, so {len(held_out)} of them "
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
            f"{name!r} can't be evaluated on, because it is trained on",
            expected="no image in both",
            found=f"{len(shared)} of its {len(evaluation)} images in {trained}",
            fix="Name another --val-split, or `none`",
        )
    if name == _FINAL_SPLIT:
        description = (
            f"{len(train)} images of {trained} train; the {len(evaluation)} of {name} are evaluated once, "
            "after the last step, and pick nothing"
        )
        return Roles(train=train, evaluation=evaluation, evaluated="final", description=description)
    description = (
        f"{len(train)} images of {trained} train; {len(evaluation)} of {name} pick the best "
        "checkpoint"
    )
    return Roles(train=train, evaluation=evaluation, evaluated="every", description=description)


def _hold_out(
    images: Sequence[LabeledImage], fraction: float, seed: int
) -> tuple[tuple[LabeledImage, ...], tuple[LabeledImage, ...]]:
    """Part a list by the hash of the file names, so the choice doesn't depend on the list's order."""
    if len(images) < _FEWEST_FOR_HOLDOUT or fraction <= 0:
        return tuple(images), ()
    count = max(1, round(len(images) * fraction))
    ranked = sorted(
        images, key=lambda image: hashlib.sha256(f"{seed}/{image.path.name}".encode()).digest()
    )
    held_out = {image.path for image in ranked[:count]}
    kept = tuple(image for image in images if image.path not in held_out)
    return kept, tuple(image for image in images if image.path in held_out)
