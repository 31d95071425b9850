"""Agreement of one form of a detector with another.

AP on a small set changes by some thousandths if one box crosses the IoU or score threshold. Agreement
compares two detectors with each other instead, over any images, labeled or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgessd.core.arrays import FloatArray
from edgessd.core.detections import Detections
from edgessd.core.errors import ConfigError, DataError
from edgessd.core.tensors import TensorSpec
from edgessd.metrics.coco import CocoMetrics, coco_metrics

REFERENCE_SCORE = 0.3
"""Score over which the reference's detections count as ground truth."""

Outputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class _FoundAsTruth:
    boxes: FloatArray
    class_ids: NDArray[np.int64]
    ignore: NDArray[np.bool_]


def agreement_ap(
    reference: Sequence[Detections], found: Sequence[Detections], *, over: float = REFERENCE_SCORE
) -> float:
    """Compute the AP of detections with a reference's detections as ground truth."""
    return agreement(reference, found, over=over).AP


def agreement(
    reference: Sequence[Detections], found: Sequence[Detections], *, over: float = REFERENCE_SCORE
) -> CocoMetrics:
    """Compute COCO metrics of detections with a reference's detections over a score as ground truth.

    Both must come from the settings of `EVALUATION_NMS`. Here the reference is cut at `over`, the
    detections compared with it are not.

    Args:
        reference: Detections, usually the float model's, one item an image.
        found: Detections, one item an image in the same order; labels are matched by name.
        over: Score of the cut; a higher one is for engines with a score threshold of their own.

    Raises:
        DataError: The reference has no detection over the score.
        ConfigError: The two models have different classes.
    """
    if not sum(int((item.scores > over).sum()) for item in reference):
        raise DataError(
            f"The reference finds nothing over {over:g}, so agreement with it isn't defined",
            expected="images that show what the detector was trained on",
            found=f"{len(reference)} images without a detection",
            fix="Give a folder of such images with --data",
        )
    labels = reference[0].labels
    truth = []
    for item in reference:
        sure = item[item.scores > over]
        truth.append(
            _FoundAsTruth(
                boxes=sure.boxes, class_ids=sure.class_ids, ignore=np.zeros(len(sure), bool)
            )
        )
    return coco_metrics(truth, [relabeled(item, labels) for item in found], labels)


def relabeled(detections: Detections, labels: tuple[str, ...]) -> Detections:
    """Renumber the class ids of detections so that they index `labels`, matched by name.

    Raises:
        ConfigError: The names differ.
    """
    if detections.labels == labels:
        return detections
    if set(detections.labels) != set(labels):
        raise ConfigError(
            "The two detectors have different classes",
            expected=", ".join(labels),
            found=", ".join(detections.labels),
            fix="Compare forms of one detector",
        )
    index = np.array([labels.index(label) for label in detections.labels], np.int64)
    return Detections(
        boxes=detections.boxes,
        scores=detections.scores,
        class_ids=index[detections.class_ids],
        labels=labels,
        track_ids=detections.track_ids,
    )


@dataclass(slots=True)
class RawAgreement:
    """Share of raw outputs within 1 LSB of a reference's, gathered image by image.

    Attributes:
        within: Number of values that differ by at most one step of the scale.
        total: Number of values compared.
        comparable: False after a value that isn't on the scale's grid (a float network, another scale)
            or an output of another size.
    """

    within: int = 0
    total: int = 0
    comparable: bool = True

    def add(self, reference: Outputs, found: Outputs, grids: Sequence[TensorSpec]) -> None:
        """Compare one image's outputs.

        Args:
            reference: Real values by output name, any shape.
            found: Real values by output name.
            grids: Outputs with the quantization of both.
        """
        for spec in grids:
            if not self.comparable:
                return
            first, second = on_grid(reference[spec.name], spec), on_grid(found[spec.name], spec)
            if first is None or second is None or first.size != second.size:
                self.comparable = False
                return
            self.within += int((np.abs(first - second) <= 1).sum())
            self.total += first.size

    @property
    def share(self) -> float | None:
        """Share in [0, 1]; None if nothing could be compared."""
        return self.within / self.total if self.comparable and self.total else None


def real_values(raw: Outputs, specs: Sequence[TensorSpec]) -> dict[str, NDArray[np.float64]]:
    """Dequantize raw outputs to real values, by name."""
    values = {}
    for spec in specs:
        real = raw[spec.name].astype(np.float64)
        if spec.quantization is not None:
            real = (real - spec.quantization.zero_point) * spec.quantization.scale
        values[spec.name] = real
    return values


def on_grid(values: NDArray[np.generic], spec: TensorSpec) -> NDArray[np.int64] | None:
    """Quantize real values to flattened integers; None if they aren't on the tensor's grid."""
    if spec.quantization is None:
        raise ValueError(f"{spec.name} isn't quantized")
    limits = np.iinfo(spec.dtype)
    steps = values.reshape(-1).astype(np.float64) / spec.quantization.scale
    integers = np.rint(steps).astype(np.int64) + spec.quantization.zero_point
    # 1% of a step is far above the error of float32, and far below the distance that another scale has
    # somewhere in the tensor.
    lies_on_grid = (
        np.abs(steps - np.rint(steps)).max(initial=0) < 0.01
        and integers.min(initial=limits.max) >= limits.min
        and integers.max(initial=limits.min) <= limits.max
    )
    return integers if lies_on_grid else None


def max_class_drift(
    reference: Mapping[str, Mapping[str, float | None]],
    found: Mapping[str, Mapping[str, float | None]],
) -> float:
    """Compute the largest difference in AP of any class between two `CocoMetrics.per_class`."""
    return max(abs(drift) for drift in class_drift(reference, found).values())


def class_drift(
    reference: Mapping[str, Mapping[str, float | None]],
    found: Mapping[str, Mapping[str, float | None]],
) -> dict[str, float]:
    """Compute the AP minus the reference's AP for each class that has ground truth."""
    drifts = {}
    for label, numbers in reference.items():
        first, second = numbers["AP"], found[label]["AP"]
        if first is not None and second is not None:
            drifts[label] = second - first
    return drifts
