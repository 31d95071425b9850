"""How closely one form of a detector follows another.

AP on a small set moves by some thousandths for nothing: one box near the IoU or score threshold is
enough. Agreement compares two detectors with each other instead, over any images, labelled or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgessd.core.boxes import FloatArray
from edgessd.core.detections import Detections
from edgessd.core.errors import ConfigError, DataError
from edgessd.core.tensors import TensorSpec
from edgessd.metrics.coco import CocoMetrics, coco_metrics

# What the reference finds over this score stands for the truth.
REFERENCE_SCORE = 0.3


Outputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class _FoundAsTruth:
    boxes: FloatArray
    class_ids: NDArray[np.int64]
    ignore: NDArray[np.bool_]


def agreement_ap(
    reference: Sequence[Detections], found: Sequence[Detections], *, over: float = REFERENCE_SCORE
) -> float:
    """`agreement(...).AP`: one number for how closely a detector follows another."""
    return agreement(reference, found, over=over).AP


def agreement(
    reference: Sequence[Detections], found: Sequence[Detections], *, over: float = REFERENCE_SCORE
) -> CocoMetrics:
    """COCO metrics of detections, with a reference's detections over a score as ground truth.

    Both must come from the settings of `EVALUATION_NMS`: the reference is cut at its score here, what
    is scored against it is not.

    Args:
        reference: One item an image, usually the float model's.
        found: One item an image, in the same order; labels are matched by name.
        over: The score. Another than the default is for engines that cut at one of their own.

    Raises:
        DataError: If the reference finds nothing over the score.
        ConfigError: If the two don't detect the same classes.
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
    return coco_metrics(truth, [relabelled(item, labels) for item in found], labels)


def relabelled(detections: Detections, labels: tuple[str, ...]) -> Detections:
    """The same detections with class ids that index `labels`, matched by name.

    Raises:
        ConfigError: If the names aren't the same.
    """
    if detections.labels == labels:
        return detections
    if set(detections.labels) != set(labels):
        raise ConfigError(
            "The two detectors don't know the same classes",
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
        within: Values that differ by at most one step of the scale.
        total: Values compared.
        comparable: False once a value was seen that isn't on the scale's grid, as the outputs of a
            float network or of another scale, or outputs of another size.
    """

    within: int = 0
    total: int = 0
    comparable: bool = True

    def add(self, reference: Outputs, found: Outputs, grids: Sequence[TensorSpec]) -> None:
        """Compare one image's outputs.

        Args:
            reference: Real values by output name, any shape.
            found: Real values by output name.
            grids: Outputs with the quantization on whose grid both must lie.
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
        """In [0, 1]; None where nothing could be compared."""
        return self.within / self.total if self.comparable and self.total else None


def real_values(raw: Outputs, specs: Sequence[TensorSpec]) -> dict[str, NDArray[np.float64]]:
    """Raw outputs as real values, by name."""
    values = {}
    for spec in specs:
        real = raw[spec.name].astype(np.float64)
        if spec.quantization is not None:
            real = (real - spec.quantization.zero_point) * spec.quantization.scale
        values[spec.name] = real
    return values


def on_grid(values: NDArray[np.generic], spec: TensorSpec) -> NDArray[np.int64] | None:
    """The integers of real values, flattened, or None if they don't lie on the tensor's grid."""
    if spec.quantization is None:
        raise ValueError(f"{spec.name} isn't quantized")
    limits = np.iinfo(spec.dtype)
    steps = values.reshape(-1).astype(np.float64) / spec.quantization.scale
    integers = np.rint(steps).astype(np.int64) + spec.quantization.zero_point
    # Graphs hold scales and values in float32; 1% of a step is far above that and far below another
    # scale's distance somewhere in the tensor.
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
    """Largest difference in AP of any class, of two `CocoMetrics.per_class` on the same images."""
    return max(abs(drift) for drift in class_drift(reference, found).values())


def class_drift(
    reference: Mapping[str, Mapping[str, float | None]],
    found: Mapping[str, Mapping[str, float | None]],
) -> dict[str, float]:
    """AP found minus AP of the reference, for each class that has ground truth."""
    drifts = {}
    for label, numbers in reference.items():
        first, second = numbers["AP"], found[label]["AP"]
        if first is not None and second is not None:
            drifts[label] = second - first
    return drifts
