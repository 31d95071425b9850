"""Judge calibration images: their number, differences, labels, and copies of evaluation images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from edgessd.bundle.quality import CalibrationAudit
from edgessd.calibrate.calibration_set import CalibrationSet, KnownDataset
from edgessd.calibrate.table import CalibrationTable
from edgessd.core.errors import CalibrationError
from edgessd.core.files import sha256_of
from edgessd.data.duplicates import find_duplicates

ENOUGH = 64
"""Smallest number of different images without a warning."""

MOVING = 0.02
"""Largest mean shift of the ranges, from half of the images to all, as a fraction of the range."""

SATURATED = 0.01
"""Largest fraction of a tensor's values beyond its range without a warning."""

COPIES = 0.1
"""Largest fraction of images that are copies of others without a warning."""

_NAMED = 5


def audit_calibration(
    table: CalibrationTable,
    images: CalibrationSet,
    *,
    saturation: Mapping[str, float],
    minimum: int,
    labels: Sequence[str],
) -> CalibrationAudit:
    """Judge a calibration.

    Args:
        table: Table of the calibration.
        images: Images of the table, with the dataset that they belong to.
        saturation: Fraction of sampled values beyond the chosen range, by tensor.
        minimum: Smallest number of different images that is accepted.
        labels: Labels of the detector; other classes of the dataset don't count.

    Returns:
        Record for the manifest; its `warnings` are sentences for a person.

    Raises:
        CalibrationError: There are too few different images, or most of them are evaluation images.
    """
    dataset, prints = images.dataset, images.fingerprints()
    groups = find_duplicates(prints)
    readable = [item for item in prints if item.broken is None]
    distinct = len(readable) - len(
        {path for group in groups for path in group.paths[1:]}  # a file may be in two groups
    )
    leaked = leaked_images(images)
    _refuse_copies(len(readable), distinct, minimum)
    _refuse_leak(leaked, len(readable), dataset)
    worst = max(saturation, key=lambda name: saturation[name], default="")
    shifts = range_shifts(table)
    moving = max(shifts, key=lambda name: shifts[name], default="")
    audit = CalibrationAudit(
        images=len(readable),
        distinct=distinct,
        unreadable=len(prints) - len(readable),
        leaked=len(leaked),
        compared_with=_evaluation_name(dataset),
        classes_unseen=_unseen(dataset, labels),
        mean_range_shift=round(sum(shifts.values()) / len(shifts), 5) if shifts else None,
        worst_range_shift=round(shifts[moving], 5) if shifts else None,
        worst_range_shift_tensor=moving,
        worst_saturation=round(saturation[worst], 6) if saturation else None,
        worst_saturation_tensor=worst,
    )
    return msgspec.structs.replace(audit, warnings=tuple(_warnings(audit, leaked)))


def leaked_images(images: CalibrationSet) -> tuple[Path, ...]:
    """Return the readable images that are, byte for byte, also images of the evaluation."""
    if images.dataset is None:
        return ()
    readable = [item.path for item in images.fingerprints() if item.broken is None]
    sizes: dict[int, list[Path]] = {}
    for path in readable:
        sizes.setdefault(path.stat().st_size, []).append(path)
    # Only files of the same size can be the same: a large evaluation set needn't be read for this.
    suspects = [
        path
        for paths in images.dataset.evaluation.values()
        for path in paths
        if path.is_file() and path.stat().st_size in sizes
    ]
    hashes = {sha256_of(path) for path in suspects}
    return tuple(path for path in readable if images.sha256(path) in hashes)


def range_shifts(table: CalibrationTable) -> dict[str, float]:
    """Return the shift of each tensor's mean range from half of the images to all, as a fraction of it."""
    shifts = {}
    for name, (low, high) in table.halves.items():
        whole = table[name]
        width = whole.mean_maximum - whole.mean_minimum
        moved = max(abs(low - whole.mean_minimum), abs(high - whole.mean_maximum))
        shifts[name] = moved / width if width > 0 else 0.0
    return shifts


def _warnings(audit: CalibrationAudit, leaked: Sequence[Path]) -> list[str]:
    found = []
    if audit.distinct < ENOUGH:
        found.append(
            f"Only {audit.distinct} different calibration images: ranges depend on which they are; "
            "100 are better"
        )
    copies = audit.images - audit.distinct
    if copies > COPIES * audit.images:
        found.append(f"{copies} of {audit.images} calibration images are copies of others")
    if leaked:
        found.append(
            f"{len(leaked)} calibration images belong to {audit.compared_with}, first "
            f"{leaked[0].name}: an accuracy measured there is too high"
        )
    if audit.classes_unseen:
        more = len(audit.classes_unseen) - _NAMED
        named = ", ".join(audit.classes_unseen[:_NAMED]) + (f" and {more} more" if more > 0 else "")
        found.append(f"No calibration image shows {named}, which the training images show")
    if audit.mean_range_shift is not None and audit.mean_range_shift > MOVING:
        found.append(
            f"Ranges still move by {audit.mean_range_shift:.1%} from half of the calibration images "
            f"to all (most: {audit.worst_range_shift_tensor}): more images would change them again"
        )
    if audit.worst_saturation is not None and audit.worst_saturation > SATURATED:
        found.append(
            f"{audit.worst_saturation:.1%} of the values of {audit.worst_saturation_tensor} lie beyond "
            "its range"
        )
    return found


def _refuse_copies(images: int, distinct: int, minimum: int) -> None:
    if distinct < minimum:
        raise CalibrationError(
            "The calibration images are copies of too few: ranges fit those only",
            expected=f"at least {minimum} different images, better 100",
            found=f"{distinct} different ones among {images}",
            fix="Take images at other moments and places, or pass --force-small",
        )


def _refuse_leak(leaked: Sequence[Path], images: int, dataset: KnownDataset | None) -> None:
    if dataset is not None and len(leaked) * 2 > images:
        raise CalibrationError(
            "Calibrating on images that a detector is judged by would flatter it",
            expected=f"images that aren't in {_evaluation_name(dataset)}",
            found=f"{len(leaked)} of {images} that are, first {leaked[0]}",
            fix="Name a folder of other images: --calibration DIR",
        )


def _unseen(dataset: KnownDataset | None, labels: Sequence[str]) -> tuple[str, ...]:
    if dataset is None:
        return ()
    return tuple(
        label
        for label in labels
        if dataset.trained.get(label) and not dataset.calibrated.get(label)
    )


def _evaluation_name(dataset: KnownDataset | None) -> str:
    if dataset is None or not dataset.evaluation:
        return ""
    return f"{dataset.name}, {' + '.join(dataset.evaluation)}"
