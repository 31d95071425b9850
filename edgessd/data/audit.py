"""The audit of a dataset: what is in it, what is wrong with it, and what a detector could learn of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgessd.core.anchors import AnchorSpec
from edgessd.core.boxes import FloatArray
from edgessd.core.contract import Preprocess
from edgessd.data.dataset import Dataset
from edgessd.data.duplicates import DuplicateGroup, Fingerprint, find_duplicates, fingerprints
from edgessd.data.problems import KINDS, Problem
from edgessd.data.reach import SizeReach, anchor_reach, boxes_at_input, sides_at_input
from edgessd.metrics.ground_truth import LabeledImage

# Side of a square with the box's area, as a fraction of the input's.
SIZE_EDGES = (0.0, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitCount:
    """What one split holds.

    Attributes:
        images: Number of images.
        boxes: Boxes, ignored ones included.
        ignored: Boxes marked difficult or crowd.
        background: Images without a box.
        per_class: Boxes of each label, in the order of the labels.
    """

    images: int
    boxes: int
    ignored: int
    background: int
    per_class: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Audit:
    """Everything that `edgessd data check` tells.

    Attributes:
        dataset: What was audited.
        total: Counts over all images, each once.
        splits: Counts of each split.
        image_sizes: (width, height) → images, most frequent first.
        preprocess: The network input that box sizes and anchors are judged at.
        box_sizes: Boxes between neighbouring `SIZE_EDGES`.
        reach: Name of a set of anchors → boxes it reaches per size; the first is the one asked for.
        duplicates: Images that occur more than once.
        problems: The dataset's, and those that only pixels tell.
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
        """The problems that have to be mended before training."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    def homes(self, group: DuplicateGroup) -> tuple[str, ...]:
        """The splits that a group of duplicates lies in."""
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
    """Read every image of a dataset and judge it.

    Args:
        dataset: Loaded with `strict=False` to see errors too.
        preprocess: Input size and resize of the detector to be trained.
        anchors: Name → anchors whose reach is measured.
        workers: Threads that decode.
        progress: Called after each image.
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
    """The audit as one JSON object; files are named relative to the dataset."""
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
    """The dataset's problems with those that only the pixels tell.

    Loading leaves a broken image out with a warning, and training skips one that breaks halfway; a
    check is where it has to be mended, so here it is an error.
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
