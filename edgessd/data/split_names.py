"""Names of splits across formats, and how much of one may be without labels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from edgessd.data.problems import ProblemLog
from edgessd.metrics.ground_truth import LabeledImage

Splits = dict[str, tuple[LabeledImage, ...]]

# The split that holds everything where a dataset isn't split.
ALL = "all"

# Folder name → split.
SPLIT_FOLDERS = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}

# Beyond this share, images without a label file are not background on purpose but unfinished work.
MAX_UNLABELLED = 0.2

# COCO's native way to say "nothing here" is an image without annotations, so more of them are normal;
# half of the images is where an interrupted labelling job looks the same.
MAX_EMPTY = 0.5


def split_name(name: str) -> str | None:
    """The split that a file or folder name speaks of: `instances_train2017` → `train`.

    Returns:
        train, val or test; None if the name says none of them.
    """
    words = re.findall(r"[a-z]+", name.lower())
    return next((SPLIT_FOLDERS[word] for word in reversed(words) if word in SPLIT_FOLDERS), None)


def note_unlabelled(
    split: str,
    unlabelled: Sequence[Path],
    total: int,
    log: ProblemLog,
    *,
    limit: float,
    allowed: bool,
) -> None:
    """Note images without labels: a warning up to the share `limit` of a split, an error beyond."""
    too_many = len(unlabelled) > limit * total and not allowed
    for path in unlabelled:
        log.add(
            "half_labelled" if too_many else "unlabelled_image",
            path,
            f"one of {len(unlabelled):,} among {total:,} in {split}" if too_many else "",
        )


def note_missing(split: str, missing: Sequence[Path], total: int, log: ProblemLog) -> None:
    """Note annotated images that aren't there: a warning up to a fifth of a split, an error beyond."""
    too_many = len(missing) > MAX_UNLABELLED * total
    for path in missing:
        log.add("missing_images" if too_many else "missing_image", path)
