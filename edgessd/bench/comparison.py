"""Several forms of one detector on the same images: how closely each follows the first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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

Image = NDArray[np.uint8]

WORST_IMAGES = 8
"""Of each artifact, kept for a look."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """What a model makes of one image.

    Attributes:
        detections: In pixels of the image.
        raw: Raw outputs by name, integers or floats; empty where the engine decodes by itself.
    """

    detections: Detections
    raw: dict[str, NDArray[np.generic]]


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredModel:
    """A model that runs with the settings in which AP is measured.

    Attributes:
        path: As given.
        labels: Of the detector.
        nms: What it runs with.
        run: BGR image in, findings out.
        outputs: Raw outputs; empty where the engine decodes by itself.
        details: Backend, library, threads.
        notes: What a person should know.
    """

    path: str
    labels: tuple[str, ...]
    nms: Nms
    run: Callable[[Image], Findings]
    outputs: tuple[TensorSpec, ...]
    details: dict[str, object]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class DivergentImage:
    """An image on which a model and the reference don't see the same.

    Attributes:
        path: The file.
        disagreement: See `metrics.drift.ImageDrift`.
        reference, found: What each sees, at any score.
    """

    path: Path
    disagreement: float
    reference: Detections
    found: Detections


@dataclass(frozen=True, kw_only=True, slots=True)
class ArtifactParity:
    """How closely one model follows the reference.

    Attributes:
        agreement_AP: See `metrics.parity.agreement_ap`.
        agreement_per_class: The same by class, of those that the reference finds.
        drift: How far boxes and scores moved.
        raw_within_1_lsb: Share of raw outputs within 1 LSB; None unless both models' lie on one grid.
        metrics: On the labelled images; None without any.
        class_drift: AP minus the reference's, by class; None without labelled images.
        worst: Images with the largest disagreement, largest first; none where all agree.
        details: Of the engine.
        notes: What a person should know about the model.
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
        """Largest difference in AP of a class; None without labelled images."""
        return max(map(abs, self.class_drift.values())) if self.class_drift else None

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
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
    """All of one comparison.

    Attributes:
        reference: Path of the reference as given.
        reference_metrics: On the labelled images; None without any.
        reference_detections: What of the reference's stands for the truth.
        images: How many were compared.
        labelled_images: How many of them have ground truth.
        skipped: Why an image couldn't be read, one sentence an image.
        artifacts: By path as given.
    """

    reference: str
    reference_metrics: CocoMetrics | None
    reference_detections: int
    images: int
    labelled_images: int
    skipped: tuple[str, ...]
    artifacts: dict[str, ArtifactParity]

    def as_json(self) -> dict[str, Any]:
        """Plain values; None where a number isn't defined."""
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
            "labelled_images": self.labelled_images,
            "skipped": list(self.skipped),
            "artifacts": {path: parity.as_json() for path, parity in self.artifacts.items()},
        }


class _Gathered:
    """What one model found so far."""

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
        others: Models of the same classes.
        images: Files; one that can't be read is skipped and named.
        truth: Ground truth of some of the images, with class ids of the reference's labels.
        progress: Called after each image with (done, all).

    Raises:
        DataError: If no image can be read, or the reference finds nothing in any.
        ConfigError: If the models don't detect the same classes.
    """
    first = _Gathered(reference)
    rest = [_Gathered(model) for model in others]
    labelled: list[LabeledImage | None] = []
    paths: list[Path] = []
    skipped: list[str] = []
    for index, path in enumerate(images):
        try:
            image = read_image(path)
        except DataError as error:
            skipped.append(error.paragraph())
        else:
            labelled.append(truth.get(path))
            paths.append(path)
            _run_all(first, rest, image)
        if progress is not None:
            progress(index + 1, len(images))
    if not labelled:
        raise DataError(
            "There is no image to compare on",
            expected="at least one image that can be read",
            found=skipped[0] if skipped else "an empty list",
        )
    reference_metrics = _metrics(labelled, first)
    return Comparison(
        reference=reference.path,
        reference_metrics=reference_metrics,
        reference_detections=sum(
            int((item.scores > REFERENCE_SCORE).sum()) for item in first.found
        ),
        images=len(labelled),
        labelled_images=sum(item is not None for item in labelled),
        skipped=tuple(skipped),
        artifacts={
            other.model.path: _parity(paths, labelled, first, other, reference_metrics)
            for other in rest
        },
    )


def _run_all(first: _Gathered, rest: Sequence[_Gathered], image: Image) -> None:
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


def _metrics(labelled: Sequence[LabeledImage | None], gathered: _Gathered) -> CocoMetrics | None:
    pairs = [
        (image, found)
        for image, found in zip(labelled, gathered.found, strict=True)
        if image is not None
    ]
    if not any((~image.ignore).any() for image, _ in pairs):
        return None
    return coco_metrics(
        [image for image, _ in pairs], [found for _, found in pairs], gathered.found[0].labels
    )


def _parity(
    paths: Sequence[Path],
    labelled: Sequence[LabeledImage | None],
    reference: _Gathered,
    other: _Gathered,
    reference_metrics: CocoMetrics | None,
) -> ArtifactParity:
    metrics = _metrics(labelled, other)
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
