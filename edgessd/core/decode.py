"""Turn raw network outputs into `Detections`, and code boxes in both directions.

Box code: section 2.2 of the SSD paper (Liu et al., 2016, arXiv:1512.02325) with the variances of its
reference implementation.

Post-processing works on integers if the engine's outputs are integers: raw scores are compared with the
threshold as integers, and only those that pass are dequantized, activated, decoded and suppressed. Float
outputs take the same path with a float comparison, so both give the same detections.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgessd.core.anchors import anchor_boxes
from edgessd.core.arrays import FloatArray
from edgessd.core.boxes import areas
from edgessd.core.contract import BoxCode, Contract, Nms, Scoring
from edgessd.core.detections import Detections
from edgessd.core.errors import ConfigError
from edgessd.core.nms import Indices, nms_per_class
from edgessd.core.preprocess import ImageTransform
from edgessd.core.tensors import TensorSpec, check_number_form

Raw = NDArray[np.generic]

# A code beyond this would make a box 22,000 times its anchor: an untrained or broken head. The cap
# keeps its area finite, so that overlaps stay numbers.
LARGEST_EXPONENT = 10.0


def encode_boxes(
    boxes_cxcywh: FloatArray, anchors_cxcywh: FloatArray, box_code: BoxCode
) -> FloatArray:
    """Encode boxes relative to their anchors as box codes (..., 4): (tx, ty, tw, th).

    Args:
        boxes_cxcywh: (..., 4) in fractions of the input, width and height > 0.
        anchors_cxcywh: (..., 4), broadcast against the boxes.
        box_code: Variances of the code.
    """
    centers = (boxes_cxcywh[..., :2] - anchors_cxcywh[..., :2]) / anchors_cxcywh[..., 2:]
    sizes = np.log(boxes_cxcywh[..., 2:] / anchors_cxcywh[..., 2:])
    codes = [centers / box_code.centre_variance, sizes / box_code.size_variance]
    return np.concatenate(codes, axis=-1).astype(np.float32, copy=False)


def decode_boxes(codes: FloatArray, anchors_cxcywh: FloatArray, box_code: BoxCode) -> FloatArray:
    """Decode box codes to boxes (..., 4) xyxy in fractions of the input, unclipped.

    This is the inverse of `encode_boxes`.

    Args:
        codes: (..., 4) as (tx, ty, tw, th).
        anchors_cxcywh: (..., 4), broadcast against the codes.
        box_code: Variances of the code.
    """
    sizes = anchors_cxcywh[..., 2:]
    centers = anchors_cxcywh[..., :2] + codes[..., :2] * box_code.centre_variance * sizes
    exponents = np.minimum(codes[..., 2:] * box_code.size_variance, LARGEST_EXPONENT)
    half_sizes = np.exp(exponents) * sizes * 0.5
    boxes = np.empty((*centers.shape[:-1], 4), centers.dtype)
    boxes[..., :2] = centers - half_sizes
    boxes[..., 2:] = centers + half_sizes
    return boxes


def activate_scores(logits: FloatArray, scoring: Scoring) -> FloatArray:
    """Compute probabilities (..., C) of raw class scores (..., C), background column included."""
    if scoring.activation == "sigmoid":
        # The two forms keep exp from overflowing on either side.
        small = np.exp(-np.abs(logits))
        sigmoid: FloatArray = np.where(logits >= 0, 1 / (1 + small), small / (1 + small))
        return sigmoid
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    softmax: FloatArray = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return softmax


class Postprocessor:
    """Turns one image's raw `box_codes` and `class_scores` into `Detections`.

    Args:
        contract: Contract of the detector.
        box_codes: The engine's (1, N, 4) output.
        class_scores: The engine's (1, N, C) output, before activation.
        nms: Suppression settings; None takes the contract's.

    Raises:
        ConfigError: Shapes or number forms don't fit the contract.
    """

    def __init__(
        self,
        contract: Contract,
        box_codes: TensorSpec,
        class_scores: TensorSpec,
        *,
        nms: Nms | None = None,
    ) -> None:
        _check_output(box_codes, (1, contract.anchors.count, 4))
        _check_output(class_scores, (1, contract.anchors.count, contract.columns))
        self.contract = contract
        self.nms = contract.nms if nms is None else nms
        self._box_codes = box_codes
        self._class_scores = class_scores
        self._anchors = anchor_boxes(contract.anchors)
        self._first_label = int(contract.scoring.background)
        self._set_margin()

    def __call__(self, box_codes: Raw, class_scores: Raw, transform: ImageTransform) -> Detections:
        """Decode and suppress the outputs of one image.

        Args:
            box_codes: Raw output of the shape and dtype stated at construction.
            class_scores: Raw output of the shape and dtype stated at construction.
            transform: Transform from the image to the input, from `fit_image`.

        Returns:
            Detections scored over `nms.score_threshold`, in pixels of the source image, clipped to it;
            a box wholly outside the image is left out.
        """
        anchor_ids, class_ids, scores = self.candidates(class_scores)
        if not len(scores):
            return Detections.empty(self.contract.labels)
        codes = _real(box_codes.reshape(-1, 4).take(anchor_ids, axis=0), self._box_codes)
        boxes = decode_boxes(codes, self._anchors.take(anchor_ids, axis=0), self.contract.box_code)
        kept = nms_per_class(boxes, scores, class_ids, self.nms)
        found = Detections(
            boxes=transform.to_source(boxes[kept]),
            scores=scores[kept],
            class_ids=class_ids[kept],
            labels=self.contract.labels,
        )
        visible = areas(found.boxes) > 0
        return found if visible.all() else found[visible]

    def candidates(self, class_scores: Raw) -> tuple[Indices, Indices, FloatArray]:
        """Find the scores over the threshold, before suppression.

        Args:
            class_scores: Raw output of the shape and dtype stated at construction.

        Returns:
            Anchor indices (k,), class ids (k,) as indices into the labels, scores (k,) float32; in
            order of anchors, then classes.
        """
        raw = class_scores.reshape(self._class_scores.shape)[0]
        if raw.dtype != self._class_scores.numpy_dtype:
            raise ConfigError(
                f"The output {self._class_scores.name!r} has another type than the engine states",
                expected=self._class_scores.dtype,
                found=str(raw.dtype),
            )
        anchor_ids, class_ids = self._may_pass(raw)
        if self.contract.scoring.activation == "sigmoid":
            flat_ids = anchor_ids * raw.shape[1] + class_ids + self._first_label
            logits = _real(raw.take(flat_ids), self._class_scores)
            scores = activate_scores(logits, self.contract.scoring)
        else:
            is_new_row = np.ones(len(anchor_ids), bool)
            is_new_row[1:] = anchor_ids[1:] != anchor_ids[:-1]
            logits = _real(raw.take(anchor_ids[is_new_row], axis=0), self._class_scores)
            probabilities = activate_scores(logits, self.contract.scoring)
            row_ids = np.cumsum(is_new_row) - 1
            scores = probabilities.take(row_ids * raw.shape[1] + class_ids + self._first_label)
        passing = np.flatnonzero(scores > self.nms.score_threshold)
        return anchor_ids.take(passing), class_ids.take(passing), scores.take(passing)

    def _may_pass(self, raw: Raw) -> tuple[Indices, Indices]:
        """Find anchor and class of every score that may pass: a necessary condition for a detection.

        Sigmoid: p > t means logit > logit(t). Softmax: p_c > t means exp(l_c) > t * sum. The sum holds
        at least l_c's own and the background's term, so l_c > l_background + logit(t); without a
        background it holds the largest term, so l_c > l_max + log(t).
        """
        bound: Any = self._margin
        if self._partner is not None:
            partner = raw[:, 0] if self._partner == "background" else raw.max(axis=1)
            if self._limits is not None:
                partner = partner.astype(np.int16)
            bound = partner[:, None] + self._margin
        if self._limits is not None:
            # A bound outside a byte's range is clipped to it. Below, nothing changes; above, one value
            # too many may pass here, and the exact comparison follows.
            bound = np.minimum(np.maximum(bound, self._limits[0]), self._limits[1]).astype(
                raw.dtype
            )
        labeled = raw[:, self._first_label :]
        hits = np.flatnonzero(labeled >= bound)
        anchor_ids = hits // labeled.shape[1]
        return anchor_ids, hits - anchor_ids * labeled.shape[1]

    def _set_margin(self) -> None:
        """Compute the constants of `_may_pass`, in units of the raw scores."""
        threshold = self.nms.score_threshold
        scoring, quantization = self.contract.scoring, self._class_scores.quantization
        self._partner: Literal["background", "largest"] | None = None
        if scoring.activation == "softmax":
            self._partner = "background" if scoring.background else "largest"
        if threshold in (0, 1):
            margin = math.inf if threshold else -math.inf
        else:
            by_largest = self._partner == "largest"
            margin = math.log(threshold if by_largest else threshold / (1 - threshold))
            # Scores are computed in float32. The slack covers their rounding: near 1, many logits.
            margin -= 1e-3 + 1e-5 / (1 - threshold)
        self._limits: tuple[int, int] | None = None
        self._margin: np.generic = np.float32(margin)
        if quantization is not None:
            limits = np.iinfo(self._class_scores.dtype)
            self._limits = int(limits.min), int(limits.max)
            steps = math.floor(min(max(margin / quantization.scale, -1024.0), 1024.0))
            self._margin = np.int16(steps + (0 if self._partner else quantization.zero_point))


def _check_output(tensor: TensorSpec, shape: tuple[int, ...]) -> None:
    if tensor.shape != shape:
        raise ConfigError(
            f"The output {tensor.name!r} doesn't fit the contract's anchors and labels",
            expected=f"shape {shape}",
            found=f"shape {tensor.shape}",
        )
    check_number_form(tensor)


def _real(raw: Raw, tensor: TensorSpec) -> FloatArray:
    """Dequantize raw values to float32."""
    values: FloatArray = raw.astype(np.float32, copy=False)
    if tensor.quantization is not None:
        values = values - np.float32(tensor.quantization.zero_point)
        values = values * np.float32(tensor.quantization.scale)
    return values
