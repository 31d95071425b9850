"""Divide a dataset into new splits, by the bytes of its images and with copies kept together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from edgessd.core.errors import ConfigError, DataError
from edgessd.data.dataset import Dataset
from edgessd.data.duplicates import Fingerprint, find_duplicates, fingerprints
from edgessd.metrics.ground_truth import LabeledImage


def resplit_dataset(
    dataset: Dataset, shares: Mapping[str, float], *, workers: int | None = None
) -> Dataset:
    """Divide all images of a dataset into new splits.

    Images are ordered by the sha256 of their bytes and cut at the shares, so the result depends only on
    the images and not on names, order or machine. Images that are copies of each other, with the same
    bytes or the same look, stay in one split.

    Args:
        dataset: The dataset; its present splits are dropped.
        shares: Fraction of the images by split; positive numbers with the sum 1.
        workers: Number of decoding threads.

    Raises:
        ConfigError: The shares aren't positive or don't have the sum 1.
        DataError: An image is broken, or there are fewer distinct images than splits.
    """
    if any(share <= 0 for share in shares.values()) or abs(sum(shares.values()) - 1) > 1e-6:
        raise ConfigError(
            "The shares of the splits are invalid",
            expected="positive numbers that add up to 1, as 0.8,0.1,0.1",
            found=", ".join(f"{name} {share:g}" for name, share in shares.items()),
        )
    images = dataset.split("all")
    groups = _groups(images, fingerprints([image.path for image in images], workers=workers))
    if len(groups) < len(shares):
        raise DataError(
            f"{dataset.root} is too small to split",
            expected=f"at least {len(shares)} distinct images",
            found=str(len(groups)),
            fix="Add images, or use fewer splits",
        )
    splits = _cut(groups, shares, len(images))
    return replace(
        dataset,
        splits={
            name: tuple(sorted(members, key=lambda image: image.path))
            for name, members in splits.items()
        },
        problems=tuple(
            problem for problem in dataset.problems if problem.kind not in ("leak", "split_overlap")
        ),
    )


def _groups(
    images: tuple[LabeledImage, ...], prints: list[Fingerprint]
) -> list[list[LabeledImage]]:
    """Group copies, and order the groups by their smallest hash."""
    broken = [item for item in prints if item.broken is not None]
    if broken:
        raise DataError(
            "A dataset with broken images can't be split",
            found=f"{len(broken)} of {len(prints)}, the first is {broken[0].path} ({broken[0].broken})",
            fix="Restore them, or delete them with their annotations",
        )
    by_path = {image.path: image for image in images}
    hashes = {item.path: item.sha256 for item in prints}
    home = {path: path for path in by_path}
    # Near groups come last, because they may contain several exact groups.
    for group in find_duplicates(prints):
        for path in group.paths:
            home[path] = group.paths[0]
    members: dict[object, list[LabeledImage]] = {}
    for path, first in home.items():
        members.setdefault(home[first], []).append(by_path[path])
    return sorted(members.values(), key=lambda group: min(hashes[image.path] for image in group))


def _cut(
    groups: list[list[LabeledImage]], shares: Mapping[str, float], total: int
) -> dict[str, list[LabeledImage]]:
    """Assign the groups to the splits in order; each split gets at least one group."""
    names = list(shares)
    splits: dict[str, list[LabeledImage]] = {name: [] for name in names}
    limit, dealt, current = shares[names[0]] * total, 0, 0
    for index, group in enumerate(groups):
        left_groups, left_splits = len(groups) - index, len(names) - current - 1
        full = dealt + len(group) / 2 > limit or left_groups <= left_splits
        if splits[names[current]] and full and current + 1 < len(names):
            current += 1
            limit += shares[names[current]] * total
        splits[names[current]] += group
        dealt += len(group)
    return splits
