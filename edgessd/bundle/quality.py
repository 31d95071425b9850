"""Measured quality of an engine in its manifest: accuracy, calibration images, parity."""

from __future__ import annotations

from typing import Literal

import msgspec


class Accuracy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """AP of an engine, with the data and the settings that it was measured with.

    Attributes:
        data, split: Name of the dataset and of its split.
        images, boxes: Numbers of images and of true boxes, without ignored boxes.
        skipped: Number of images that couldn't be read.
        score_threshold, iou_threshold, max_candidates: Suppression settings of the detector.
        engine: Backend and library, e.g. "litert, ai-edge-litert 2.3.0, XNNPACK".
        AP, AP50: COCO's AP in [0, 1].
    """

    data: str
    split: str
    images: int
    boxes: int
    score_threshold: float
    iou_threshold: float
    max_candidates: int
    engine: str
    AP: float
    AP50: float
    skipped: int = 0


class CalibrationAudit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Audit of the calibration images (`calibrate.audit`).

    Attributes:
        images, unreadable: Numbers of images that were used and that couldn't be read.
        distinct: Number of images that differ visibly.
        leaked: Number of images that are, byte for byte, images of an evaluation split.
        compared_with: The evaluation splits; empty if none is known, so that no leak could be found.
        classes_unseen: Trained classes that no calibration image shows; empty if the images have no
            labels.
        mean_range_shift, worst_range_shift: Relative change of the tensors' typical ranges between half of
            the images and all of them.
        worst_saturation: Largest share of a tensor's values beyond its range; None for ranges from
            quantization-aware training.
        warnings: Doubts about the images, in sentences.
    """

    images: int
    unreadable: int
    distinct: int
    leaked: int
    compared_with: str
    classes_unseen: tuple[str, ...]
    mean_range_shift: float | None
    worst_range_shift: float | None
    worst_range_shift_tensor: str
    worst_saturation: float | None
    worst_saturation_tensor: str
    warnings: tuple[str, ...] = ()


class Parity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Agreement of the engine with its float graph, measured when it was built.

    Attributes:
        verdict: `passed`; `undecided` if too little could be compared; `skipped` with --no-gate. An engine
            that fails is not bundled.
        reason: Reason why there is no verdict; empty if it passed.
        reference, engine: Backend and library of each.
        data: Name of the images.
        images: Number of images.
        images_sha256: sha256 over the images' sorted sha256.
        detections: Number of the reference's detections over `score_threshold`, the ground truth here.
        score_threshold: Score over which the reference's detections count.
        agreement_AP: AP of the engine against the reference; None if it isn't defined.
        bound: Least agreement AP that passes.
        mean_iou, mean_score_drift: Means over the detections that both found; None without any.
        lost, added: Numbers of detections that only the reference, or only the engine, found.
    """

    verdict: Literal["passed", "undecided", "skipped"]
    reason: str = ""
    reference: str = ""
    engine: str = ""
    data: str = ""
    images: int = 0
    images_sha256: str = ""
    detections: int = 0
    score_threshold: float = 0.0
    agreement_AP: float | None = None
    bound: float = 0.0
    mean_iou: float | None = None
    mean_score_drift: float | None = None
    lost: int = 0
    added: int = 0
