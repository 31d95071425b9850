"""Which images train, which pick the best checkpoint, and which only judge the last one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edgessd.core.errors import DataError
from edgessd.data.dataset import Dataset
from edgessd.data.splits import ALL
from edgessd.metrics.ground_truth import LabelledImage
from edgessd.train.config import DataSettings

_FINAL_SPLIT = "test"
_FEWEST_FOR_HOLDOUT = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Roles:
    """Images by what they are for; none is in both lists.

    Attributes:
        train: Trained on.
        judge: Evaluated on; may be empty.
        judging: `every`: evaluated as training goes, and picks best.pt. `final`: evaluated once after
            the last step, picks nothing. `never`: there is nothing to evaluate on.
        said: One sentence about the choice.
    """

    train: tuple[LabelledImage, ...]
    judge: tuple[LabelledImage, ...]
    judging: Literal["every", "final", "never"]
    said: str


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
        return _named_judge(dataset, train, trained, wanted)
    if wanted == "none" or val_trains:
        said = f"{len(train)} images of {trained} train; none evaluate, so best.pt is the last"
        return Roles(train=train, judge=(), judging="never", said=said)
    kept, held_out = _hold_out(train, settings.holdout, seed)
    if not held_out:
        said = f"{len(train)} images of {trained} are too few to hold any out; best.pt is the last"
        return Roles(train=train, judge=(), judging="never", said=said)
    said = (
        f"{len(kept)} images of {trained} train; there is no val split, so {len(held_out)} of them "
        "are held out to pick the best checkpoint"
    )
    return Roles(train=kept, judge=held_out, judging="every", said=said)


def _named_judge(
    dataset: Dataset, train: tuple[LabelledImage, ...], trained: str, name: str
) -> Roles:
    judge = dataset.split(name)
    shared = {image.path for image in train} & {image.path for image in judge}
    if shared:
        raise DataError(
            f"{name!r} can't be evaluated on, because it is trained on",
            expected="no image in both",
            found=f"{len(shared)} of its {len(judge)} images in {trained}",
            fix="Name another --val-split, or `none`",
        )
    if name == _FINAL_SPLIT:
        said = (
            f"{len(train)} images of {trained} train; the {len(judge)} of {name} are evaluated once, "
            "after the last step, and pick nothing"
        )
        return Roles(train=train, judge=judge, judging="final", said=said)
    said = (
        f"{len(train)} images of {trained} train; {len(judge)} of {name} pick the best checkpoint"
    )
    return Roles(train=train, judge=judge, judging="every", said=said)


def _hold_out(
    images: Sequence[LabelledImage], fraction: float, seed: int
) -> tuple[tuple[LabelledImage, ...], tuple[LabelledImage, ...]]:
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
