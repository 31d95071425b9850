"""Names of splits in all formats, and limits on missing labels and images."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from edgessd.data.problems import ProblemLog
from edgessd.metrics.ground_truth import LabeledImage

Splits = dict[str, tuple[LabeledImage, ...]]

# Name of the only split of a dataset without splits.
ALL = "all"

# Splits by the name of their folder.
SPLIT_FOLDERS = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}

# Largest fraction of images without a label file that are taken as background; more are an error.
MAX_UNLABELED = 0.2

# Limit for COCO, where an image without annotations means "nothing here". If half of the images have none,
# the labeling is probably unfinished.
MAX_EMPTY = 0.5


def split_name(name: str) -> str | None:
    """Find the split in a file or folder name: `instances_train2017` → `train`.

    Returns:
        train, val or test; None if the name contains none of them.
    """
    words = re.findall(r"[a-z]+", name.lower())
    return next((SPLIT_FOLDERS[word] for word in reversed(words) if word in SPLIT_FOLDERS), None)


def note_unlabeled(
    split: str,
    unlabeled: Sequence[Path],
    total: int,
    log: ProblemLog,
    *,
    limit: float,
    allowed: bool,
) -> None:
    """Note images without labels: a warning up to the fraction `limit` of a split, an error above."""
    too_many = len(unlabeled) > limit * total and not allowed
    for path in unlabeled:
        log.add(
            "half_labelled" if too_many else "unlabelled_image",
            path,
            f"one of {len(unlabeled):,} among {total:,} in {split}" if too_many else "",
        )


def note_missing(split: str, missing: Sequence[Path], total: int, log: ProblemLog) -> None:
    """Note annotated images that don't exist: a warning up to a fifth of a split, an error above."""
    too_many = len(missing) > MAX_UNLABELED * total
    for path in missing:
        log.add("missing_images" if too_many else "missing_image", path)
