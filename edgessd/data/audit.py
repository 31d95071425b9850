"""Audit a dataset: its counts, its problems, and the fraction of its boxes that anchors reach."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgessd.core.anchors import AnchorSpec
from edgessd.core.arrays import FloatArray
from edgessd.core.contract import Preprocess
from edgessd.data.dataset import Dataset
from edgessd.data.duplicates import DuplicateGroup, Fingerprint, find_duplicates, fingerprints
from edgessd.data.problems import KINDS, Problem
from edgessd.data.reach import SizeReach, anchor_reach, boxes_at_input, sides_at_input
from edgessd.metrics.ground_truth import LabeledImage

# Edges of the size histogram: side of a square with the box's area, a fraction of the input's side.
SIZE_EDGES = (0.0, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitCount:
    """Counts of one split.

    Attributes:
        images: Number of images.
        boxes: Number of boxes, with ignored ones.
        ignored: Number of boxes marked difficult or crowd.
        background: Number of images without a box.
        per_class: Number of boxes of each label, in the order of the labels.
    """

    images: int
    boxes: int
    ignored: int
    background: int
    per_class: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Audit:
    """Results of `edgessd data check`.

    Attributes:
        dataset: The audited dataset.
        total: Counts over all distinct images.
        splits: Counts of each split.
        image_sizes: Number of images by (width, height), most frequent size first.
        preprocess: Preprocessing at whose input box sizes and anchors are measured.
        box_sizes: Number of boxes between neighboring `SIZE_EDGES`.
        reach: Boxes that anchors reach, by the name of the anchors.
        duplicates: Images that occur more than once.
        problems: Problems of the annotations and of the pixels.
    """

    dataset: Dataset
    total: SplitCount
    splits: dict[str, SplitCount]
    image_sizes: dict[tuple[int, int], int]
    preprocess: Preprocess
    box_sizes: tuple[int, ...]
    reach: dict[str, tuple[SizeReach, ...]]
    duplicates: tuple[DuplicateGroup, ...]
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Problems that have to be fixed before training."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    def homes(self, group: DuplicateGroup) -> tuple[str, ...]:
        """Splits that contain an image of a group of duplicates."""
        return tuple(
            split
            for split, images in self.dataset.splits.items()
            if not {image.path for image in images}.isdisjoint(group.paths)
        )


def audit_dataset(
    dataset: Dataset,
    *,
    preprocess: Preprocess,
    anchors: Mapping[str, AnchorSpec],
    workers: int | None = None,
    progress: Callable[[], None] | None = None,
) -> Audit:
    """Read all images of a dataset and audit it.

    Args:
        dataset: A dataset that was loaded with `strict=False`, so that its errors are kept.
        preprocess: Input size and resize rule of the detector to train.
        anchors: Anchors whose reach is measured, by name.
        workers: Number of decoding threads.
        progress: Called after each image.

    Raises:
        DataError: The library that finds duplicates isn't installed.
    """
    images = dataset.split("all")
    prints = fingerprints([image.path for image in images], workers=workers, progress=progress)
    duplicates = find_duplicates(prints)
    boxes = boxes_at_input(images, preprocess)
    audit = Audit(
        dataset=dataset,
        total=_count(images, dataset.labels),
        splits={name: _count(found, dataset.labels) for name, found in dataset.splits.items()},
        image_sizes=dict(Counter((image.width, image.height) for image in images).most_common()),
        preprocess=preprocess,
        box_sizes=_histogram(boxes, preprocess),
        reach={name: anchor_reach(boxes, spec, preprocess) for name, spec in anchors.items()},
        duplicates=duplicates,
        problems=(),
    )
    return replace(audit, problems=_problems(audit, prints))


def as_json(audit: Audit) -> dict[str, Any]:
    """Make one JSON object of the audit; file names are relative to the dataset."""
    labels = audit.dataset.labels
    return {
        "root": str(audit.dataset.root),
        "format": audit.dataset.format,
        "images": audit.total.images,
        "boxes": audit.total.boxes,
        "classes": dict(zip(labels, audit.total.per_class, strict=True)),
        "ok": not audit.errors,
        "problems": [
            {
                "kind": problem.kind,
                "severity": problem.severity,
                "count": problem.count,
                "text": problem.text,
                "done": problem.done,
                "where": list(problem.where),
            }
            for problem in audit.problems
        ],
        "splits": {
            name: {
                "images": count.images,
                "boxes": count.boxes,
                "ignored": count.ignored,
                "background": count.background,
                "classes": dict(zip(labels, count.per_class, strict=True)),
            }
            for name, count in audit.splits.items()
        },
        "image_sizes": {f"{w}x{h}": count for (w, h), count in audit.image_sizes.items()},
        "input": {
            "width": audit.preprocess.width,
            "height": audit.preprocess.height,
            "resize": audit.preprocess.resize,
        },
        "box_sizes": {"edges": list(SIZE_EDGES), "counts": list(audit.box_sizes)},
        "anchors": {
            name: {
                reach.size: {
                    "boxes": reach.boxes,
                    "reached": reach.reached,
                    "share": round(reach.share, 4),
                    "mean_iou": round(reach.mean_iou, 4),
                }
                for reach in reaches
            }
            for name, reaches in audit.reach.items()
        },
        "duplicates": [
            {
                "kind": group.kind,
                "splits": list(audit.homes(group)),
                "images": [_relative(audit, path) for path in group.paths],
            }
            for group in audit.duplicates
        ],
    }


def _count(images: Sequence[LabeledImage], labels: tuple[str, ...]) -> SplitCount:
    class_ids = np.concatenate([image.class_ids for image in images] or [np.zeros(0, np.int64)])
    return SplitCount(
        images=len(images),
        boxes=len(class_ids),
        ignored=sum(int(image.ignore.sum()) for image in images),
        background=sum(len(image.boxes) == 0 for image in images),
        per_class=tuple(np.bincount(class_ids, minlength=len(labels)).tolist()),
    )


def _histogram(boxes: FloatArray, preprocess: Preprocess) -> tuple[int, ...]:
    sides = sides_at_input(boxes, preprocess)
    shares = sides / np.sqrt(preprocess.width * preprocess.height)
    counts, _ = np.histogram(np.clip(shares, 0, 1), SIZE_EDGES)
    return tuple(counts.tolist())


def _problems(audit: Audit, prints: Sequence[Fingerprint]) -> tuple[Problem, ...]:
    """Collect the problems of the annotations and of the pixels.

    A broken image is a warning when a dataset is loaded for training, which skips it. In an audit it is
    an error, so that it gets fixed.
    """
    found = {problem.kind: list(problem.where) for problem in audit.dataset.problems}
    for item in prints:
        if item.broken is not None:
            place = f"{_relative(audit, item.path)}: {item.broken}"
            found.setdefault("broken_image", []).append(place)
    for group in audit.duplicates:
        homes = audit.homes(group)
        kind = "leak" if len(homes) > 1 else "duplicate"
        names = " = " if group.kind == "exact" else " ~ "
        place = names.join(_relative(audit, path) for path in group.paths[:4])
        more = f" and {len(group.paths) - 4} more" if len(group.paths) > 4 else ""
        found.setdefault(kind, []).append(f"{place}{more} ({' and '.join(homes)})")
    problems = [
        Problem(
            kind=kind,
            where=tuple(found[kind]),
            severity="error" if kind == "broken_image" else KINDS[kind].severity,
        )
        for kind in KINDS
        if kind in found
    ]
    return tuple(sorted(problems, key=lambda problem: problem.severity))


def _relative(audit: Audit, path: Any) -> str:
    root = audit.dataset.root
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
