"""Compare forms of one detector on the same images: agreement, AP, boxes, scores, raw outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgessd.core.arrays import ImageArray
from edgessd.core.contract import Nms
from edgessd.core.detections import Detections
from edgessd.core.errors import DataError
from edgessd.core.images import read_image
from edgessd.core.tensors import TensorSpec
from edgessd.metrics.coco import CocoMetrics, coco_metrics
from edgessd.metrics.drift import Drift, image_drift, summarize_drift
from edgessd.metrics.ground_truth import LabeledImage
from edgessd.metrics.parity import (
    REFERENCE_SCORE,
    RawAgreement,
    agreement,
    class_drift,
    real_values,
    relabeled,
)

WORST_IMAGES = 8
"""Number of images per model that are kept for the report."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """Results of a model on one image.

    Attributes:
        detections: Detections in pixels of the image.
        raw: Raw outputs by name, integers or floats; empty if the engine decodes by itself.
    """

    detections: Detections
    raw: dict[str, NDArray[np.generic]]


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredModel:
    """A model with the settings in which AP is measured.

    Attributes:
        path: Path of the model, as the user gave it.
        labels: Labels of the detector.
        nms: Suppression settings of the model.
        run: Function from a BGR image to findings.
        outputs: Descriptions of the raw outputs; empty if the engine decodes by itself.
        details: Backend, library and threads by name.
        notes: Remarks on the model, one sentence each.
    """

    path: str
    labels: tuple[str, ...]
    nms: Nms
    run: Callable[[ImageArray], Findings]
    outputs: tuple[TensorSpec, ...]
    details: dict[str, object]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class DivergentImage:
    """An image on which a model and the reference differ.

    Attributes:
        path: Image file.
        disagreement: See `metrics.drift.ImageDrift`.
        reference, found: Detections of the reference and of the model, at any score.
    """

    path: Path
    disagreement: float
    reference: Detections
    found: Detections


@dataclass(frozen=True, kw_only=True, slots=True)
class ArtifactParity:
    """Differences between one model and the reference.

    Attributes:
        agreement_AP: See `metrics.parity.agreement_ap`.
        agreement_per_class: Agreement AP of each class that the reference finds.
        drift: Changes of boxes and scores.
        raw_within_1_lsb: Fraction of raw outputs within 1 LSB; None unless both models' outputs have one
            scale.
        metrics: COCO metrics on the labeled images; None without labeled images.
        class_drift: AP minus the reference's, by class; None without labeled images.
        worst: Images with the largest disagreement, in descending order; empty if all agree.
        details: Backend, library and threads of the engine.
        notes: Remarks on the model, one sentence each.
    """

    agreement_AP: float
    agreement_per_class: dict[str, float]
    drift: Drift
    raw_within_1_lsb: float | None
    metrics: CocoMetrics | None
    class_drift: dict[str, float] | None
    worst: tuple[DivergentImage, ...]
    details: dict[str, object]
    notes: tuple[str, ...]

    @property
    def max_class_drift(self) -> float | None:
        """Largest difference in AP of a class; None without labeled images."""
        return max(map(abs, self.class_drift.values())) if self.class_drift else None

    def as_json(self) -> dict[str, Any]:
        """Return the numbers as plain values."""
        return {
            "agreement_AP": self.agreement_AP,
            "agreement_AP_per_class": self.agreement_per_class,
            "AP": self.metrics.AP if self.metrics else None,
            "AP50": self.metrics.AP50 if self.metrics else None,
            "raw_within_1_lsb": self.raw_within_1_lsb,
            "max_class_drift": self.max_class_drift,
            "class_drift": self.class_drift,
            "boxes": self.drift.as_json(),
            "worst_images": [
                {"image": str(image.path), "disagreement": image.disagreement}
                for image in self.worst
            ],
            "engine": self.details,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Result of one comparison.

    Attributes:
        reference: Path of the reference, as the user gave it.
        reference_metrics: COCO metrics of the reference on the labeled images; None without labeled images.
        reference_detections: Number of the reference's detections that are taken as the truth.
        images: Number of images compared.
        labeled_images: Number of images with ground truth.
        skipped: Reason for each image that couldn't be read, one sentence an image.
        artifacts: Differences of each model, by path as the user gave it.
    """

    reference: str
    reference_metrics: CocoMetrics | None
    reference_detections: int
    images: int
    labeled_images: int
    skipped: tuple[str, ...]
    artifacts: dict[str, ArtifactParity]

    def as_json(self) -> dict[str, Any]:
        """Return the numbers as plain values; None for a number that isn't defined."""
        metrics = self.reference_metrics
        return {
            "reference": {
                "path": self.reference,
                "AP": metrics.AP if metrics else None,
                "AP50": metrics.AP50 if metrics else None,
                "detections": self.reference_detections,
                "score_threshold": REFERENCE_SCORE,
            },
            "images": self.images,
            "labelled_images": self.labeled_images,
            "skipped": list(self.skipped),
            "artifacts": {path: parity.as_json() for path, parity in self.artifacts.items()},
        }


class _Gathered:
    """Detections and raw agreement of one model so far."""

    def __init__(self, model: MeasuredModel) -> None:
        self.model = model
        self.found: list[Detections] = []
        self.raw = RawAgreement()

    def add(self, findings: Findings, labels: tuple[str, ...]) -> None:
        self.found.append(relabeled(findings.detections, labels))


def compare_models(
    reference: MeasuredModel,
    others: Sequence[MeasuredModel],
    images: Sequence[Path],
    truth: Mapping[Path, LabeledImage],
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Run all models over all images, one image after the other, and score them.

    Args:
        reference: Usually the float model.
        others: Models with the same labels.
        images: Image files; one that can't be read is skipped and listed.
        truth: Ground truth of some of the images, with class ids of the reference's labels.
        progress: Function called after each image with (done, total).

    Raises:
        DataError: No image can be read, or the reference finds nothing in any.
        ConfigError: The models have different labels.
    """
    first = _Gathered(reference)
    rest = [_Gathered(model) for model in others]
    labeled: list[LabeledImage | None] = []
    paths: list[Path] = []
    skipped: list[str] = []
    for index, path in enumerate(images):
        try:
            image = read_image(path)
        except DataError as error:
            skipped.append(error.paragraph())
        else:
            labeled.append(truth.get(path))
            paths.append(path)
            _run_all(first, rest, image)
        if progress is not None:
            progress(index + 1, len(images))
    if not labeled:
        raise DataError(
            "There is no image to compare on",
            expected="at least one image that can be read",
            found=skipped[0] if skipped else "an empty list",
        )
    reference_metrics = _metrics(labeled, first)
    return Comparison(
        reference=reference.path,
        reference_metrics=reference_metrics,
        reference_detections=sum(
            int((item.scores > REFERENCE_SCORE).sum()) for item in first.found
        ),
        images=len(labeled),
        labeled_images=sum(item is not None for item in labeled),
        skipped=tuple(skipped),
        artifacts={
            other.model.path: _parity(paths, labeled, first, other, reference_metrics)
            for other in rest
        },
    )


def _run_all(first: _Gathered, rest: Sequence[_Gathered], image: ImageArray) -> None:
    labels = first.model.labels
    findings = first.model.run(image)
    first.add(findings, labels)
    expected = real_values(findings.raw, first.model.outputs)
    for other in rest:
        model = other.model
        findings = model.run(image)
        other.add(findings, labels)
        grids = [
            spec
            for specs in (model.outputs, first.model.outputs)
            for spec in specs
            if spec.quantization is not None
        ]
        # The artifact's grid is the one to hold; a graph with float outputs is held to the other's.
        names = {spec.name: spec for spec in reversed(grids)}
        if expected and model.outputs:
            other.raw.add(expected, real_values(findings.raw, model.outputs), [*names.values()])


def _metrics(labeled: Sequence[LabeledImage | None], gathered: _Gathered) -> CocoMetrics | None:
    pairs = [
        (image, found)
        for image, found in zip(labeled, gathered.found, strict=True)
        if image is not None
    ]
    if not any((~image.ignore).any() for image, _ in pairs):
        return None
    return coco_metrics(
        [image for image, _ in pairs], [found for _, found in pairs], gathered.found[0].labels
    )


def _parity(
    paths: Sequence[Path],
    labeled: Sequence[LabeledImage | None],
    reference: _Gathered,
    other: _Gathered,
    reference_metrics: CocoMetrics | None,
) -> ArtifactParity:
    metrics = _metrics(labeled, other)
    drift = None
    if metrics is not None and reference_metrics is not None:
        drift = class_drift(reference_metrics.per_class, metrics.per_class)
    images = [
        image_drift(first, second)
        for first, second in zip(reference.found, other.found, strict=True)
    ]
    order = sorted(range(len(images)), key=lambda index: -images[index].disagreement)
    agreed = agreement(reference.found, other.found)
    return ArtifactParity(
        agreement_AP=agreed.AP,
        agreement_per_class={
            label: numbers["AP"]
            for label, numbers in agreed.per_class.items()
            if numbers["AP"] is not None
        },
        drift=summarize_drift(images),
        raw_within_1_lsb=other.raw.share,
        metrics=metrics,
        class_drift=drift,
        worst=tuple(
            DivergentImage(
                path=paths[index],
                disagreement=images[index].disagreement,
                reference=reference.found[index],
                found=other.found[index],
            )
            for index in order[:WORST_IMAGES]
            if images[index].disagreement > 0
        ),
        details=other.model.details,
        notes=other.model.notes,
    )
