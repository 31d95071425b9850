"""What a manifest says about how good its engine is, each number with what it was measured on."""

from __future__ import annotations

from typing import Literal

import msgspec


class Accuracy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An accuracy with everything needed to read it: no AP stands without its data and settings.

    Attributes:
        data, split: Name of the dataset, and which part of it.
        images, boxes: How many were measured; ignored boxes left out.
        skipped: Images that couldn't be read.
        score_threshold, iou_threshold, max_candidates: What the detector ran with.
        engine: What executed it, e.g. "litert, ai-edge-litert 2.3.0, XNNPACK".
        AP, AP50: COCO's.
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
    """Whether the calibration images were fit for it (`calibrate.audit`).

    Attributes:
        images, unreadable: How many.
        distinct: How many of them differ to the eye.
        leaked: How many are, byte for byte, images of the evaluation.
        compared_with: The evaluation splits; empty where none is known, so that nothing is proven.
        classes_unseen: Classes that were trained and that no calibration image shows, where the images
            have labels.
        mean_range_shift, worst_range_shift: How far the typical range of tensors moved from half of the
            images to all of them, as a share of it.
        worst_saturation: Largest share of a tensor's values beyond its range; None for ranges that
            quantization-aware training learned afterwards.
        warnings: What is doubtful, as sentences.
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
    """How closely the engine followed its float graph when it was built.

    Attributes:
        verdict: `passed`; `undecided` where too little could be compared; `skipped` where the person
            who built it wanted no gate. An engine that fails is not bundled.
        reason: Why there is no verdict; empty where it passed.
        reference, engine: What executed either.
        data: Which images; `images_sha256` over their sorted sha256 tells them apart.
        images: How many.
        detections: Of the reference over `score_threshold`, which stand for the truth.
        score_threshold: See `metrics.parity.REFERENCE_SCORE`.
        agreement_AP: Of the engine against the reference; None where it isn't defined.
        bound: The least agreement AP that passes.
        mean_iou, mean_score_drift: Of detections that both found; None without any.
        lost, added: Detections that only the reference or only the engine found.
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
