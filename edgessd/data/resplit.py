"""Splitting a dataset: the same images always fall into the same split, copies into one split."""

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
    """Divide all images of a dataset anew.

    Images are ordered by the sha256 of their bytes and cut at the shares, so the outcome depends on the
    pictures alone, not on names, order or machine. Images that are copies of each other, to the byte
    or to the eye, count as one and stay together.

    Args:
        dataset: Whatever splits it has are dissolved.
        shares: Split → its share of the images; positive numbers that add up to 1.
        workers: Threads that decode.

    Raises:
        ConfigError: if the shares aren't positive or don't add up to 1.
        DataError: if an image is broken, or there are fewer distinct images than splits.
    """
    if any(share <= 0 for share in shares.values()) or abs(sum(shares.values()) - 1) > 1e-6:
        raise ConfigError(
            "The shares of the splits don't make a whole",
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
    """Copies together, ordered by the smallest hash among them."""
    broken = [item for item in prints if item.broken is not None]
    if broken:
        raise DataError(
            "A dataset with broken images can't be split",
            found=f"{len(broken)} of {len(prints)}, the first is {broken[0].path} ({broken[0].broken})",
            fix="Mend or delete them together with their annotations",
        )
    by_path = {image.path: image for image in images}
    hashes = {item.path: item.sha256 for item in prints}
    home = {path: path for path in by_path}
    # Near groups come last and may hold several exact ones, so they have the last word.
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
    """Deal the groups out in order; every split gets at least one group."""
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
