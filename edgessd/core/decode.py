"""From raw network outputs to `Detections`, and the box code in both directions. The only ones.

Box code: section 2.2 of the SSD paper (Liu et al., 2016, arXiv:1512.02325) with the variances of its
reference implementation.

Post-processing works in the integer domain where the engine's outputs are integers: raw scores are
compared with the threshold as integers, and only what passes is dequantized, activated, decoded and
suppressed. Float outputs take the same path with a float comparison, so both give the same detections.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edgessd.core.anchors import anchor_boxes
from edgessd.core.boxes import FloatArray, areas, cxcywh_to_xyxy
from edgessd.core.contract import BoxCode, Contract, Nms, Scoring
from edgessd.core.detections import Detections
from edgessd.core.errors import ConfigError
from edgessd.core.nms import Indices, nms_per_class
from edgessd.core.preprocess import Placement
from edgessd.core.tensors import TensorSpec

Raw = NDArray[np.generic]

# A code beyond this would make a box 22,000 times its anchor: an untrained or broken head. The cap
# keeps its area finite, so that overlaps stay numbers.
_LARGEST_EXPONENT = 10.0


def encode_boxes(
    boxes_cxcywh: FloatArray, anchors_cxcywh: FloatArray, box_code: BoxCode
) -> FloatArray:
    """Box codes (..., 4) as (tx, ty, tw, th) of boxes relative to their anchors.

    Args:
        boxes_cxcywh: (..., 4) in fractions of the input, width and height > 0.
        anchors_cxcywh: (..., 4), broadcast against the boxes.
        box_code: The variances.
    """
    centres = (boxes_cxcywh[..., :2] - anchors_cxcywh[..., :2]) / anchors_cxcywh[..., 2:]
    sizes = np.log(boxes_cxcywh[..., 2:] / anchors_cxcywh[..., 2:])
    codes = [centres / box_code.centre_variance, sizes / box_code.size_variance]
    return np.concatenate(codes, axis=-1).astype(np.float32, copy=False)


def decode_boxes(codes: FloatArray, anchors_cxcywh: FloatArray, box_code: BoxCode) -> FloatArray:
    """Boxes (..., 4) xyxy, in fractions of the input, unclipped; inverse of `encode_boxes`.

    Args:
        codes: (..., 4) as (tx, ty, tw, th).
        anchors_cxcywh: (..., 4), broadcast against the codes.
        box_code: The variances.
    """
    anchor_sizes = anchors_cxcywh[..., 2:]
    centres = anchors_cxcywh[..., :2] + codes[..., :2] * box_code.centre_variance * anchor_sizes
    exponents = np.minimum(codes[..., 2:] * box_code.size_variance, _LARGEST_EXPONENT)
    return cxcywh_to_xyxy(np.concatenate([centres, anchor_sizes * np.exp(exponents)], axis=-1))


def activate_scores(logits: FloatArray, scoring: Scoring) -> FloatArray:
    """Probabilities (..., C) of raw class scores (..., C), background column included."""
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
        contract: Of the detector.
        box_codes: The engine's (1, N, 4) output.
        class_scores: The engine's (1, N, C) output, before activation.
        nms: Settings other than the contract's own.

    Raises:
        ConfigError: If shapes or number forms don't fit the contract.
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
        self._by_background = contract.scoring.activation == "softmax" and bool(self._first_label)
        self._bound = self._necessary_bound()

    def __call__(self, box_codes: Raw, class_scores: Raw, placement: Placement) -> Detections:
        """Detect in one image.

        Args:
            box_codes: Raw output of the shape and dtype stated at construction.
            class_scores: Raw output of the shape and dtype stated at construction.
            placement: Where the image landed in the input, from `fit_image`.

        Returns:
            Detections scored over `nms.score_threshold`, in pixels of the source image, clipped to it;
            a box wholly outside the image is left out.
        """
        anchor_ids, class_ids, scores = self.candidates(class_scores)
        if not len(scores):
            return Detections.empty(self.contract.labels)
        codes = _real(box_codes.reshape(self._box_codes.shape)[0][anchor_ids], self._box_codes)
        boxes = decode_boxes(codes, self._anchors[anchor_ids], self.contract.box_code)
        kept = nms_per_class(boxes, scores, class_ids, self.nms)
        found = Detections(
            boxes=placement.to_source(boxes[kept]),
            scores=scores[kept],
            class_ids=class_ids[kept],
            labels=self.contract.labels,
        )
        visible = areas(found.boxes) > 0
        return found if visible.all() else found[visible]

    def candidates(self, class_scores: Raw) -> tuple[Indices, Indices, FloatArray]:
        """What is scored over the threshold, before suppression.

        Args:
            class_scores: Raw output of the shape and dtype stated at construction.

        Returns:
            Anchor indices (k,), class ids (k,) as indices into the labels, scores (k,) float32; in
            order of anchors, then classes.
        """
        raw = class_scores.reshape(self._class_scores.shape)[0]
        if raw.dtype != self._class_scores.numpy_dtype:
            raise ConfigError(
                f"The output {self._class_scores.name!r} has another type than was promised",
                expected=self._class_scores.dtype,
                found=str(raw.dtype),
            )
        rows = np.flatnonzero(self._passing_rows(raw))
        logits = _real(raw[rows], self._class_scores)
        probabilities = activate_scores(logits, self.contract.scoring)[:, self._first_label :]
        picked_rows, class_ids = np.nonzero(probabilities > self.nms.score_threshold)
        return rows[picked_rows], class_ids, probabilities[picked_rows, class_ids]

    def _passing_rows(self, raw: Raw) -> NDArray[np.bool_]:
        """Anchors (N,) at which some label may pass: a condition that every detection fulfils."""
        best = raw[:, self._first_label :].max(axis=1)
        if self._by_background:
            background = raw[:, 0]
            if raw.dtype.kind in "iu":  # their difference needs a ninth bit
                best, background = best.astype(np.int16), background.astype(np.int16)
            best = best - background
        passing: NDArray[np.bool_] = best >= self._bound
        return passing

    def _necessary_bound(self) -> float:
        """The bound of `_passing_rows`, in raw units.

        Sigmoid: p > t means logit > logit(t). Softmax: p_c > t means exp(l_c) > t * sum, and the sum
        holds at least l_c's and the background's term, so l_c - l_background > logit(t). A softmax
        without background has no such partner, and all rows pass.
        """
        threshold = self.nms.score_threshold
        if self.contract.scoring.activation == "softmax" and not self._by_background:
            return -math.inf
        if threshold in (0.0, 1.0):
            return math.inf if threshold else -math.inf
        # Activations are computed in float32; the slack covers their rounding, so that what is let
        # through is never less than what passes afterwards.
        slack = 1e-3 + 1e-5 / (1 - threshold)
        bound = math.log(threshold / (1 - threshold)) - slack
        quantization = self._class_scores.quantization
        if quantization is None:
            return bound
        integer = math.floor(bound / quantization.scale)
        return integer if self._by_background else integer + quantization.zero_point


def _check_output(tensor: TensorSpec, shape: tuple[int, ...]) -> None:
    if tensor.shape != shape:
        raise ConfigError(
            f"The output {tensor.name!r} doesn't fit the contract's anchors and labels",
            expected=f"shape {shape}",
            found=f"shape {tensor.shape}",
        )
    is_integer = tensor.dtype in ("int8", "uint8")
    if not is_integer and tensor.dtype not in ("float32", "float16"):
        raise ConfigError(
            f"The output {tensor.name!r} has a type that can't be decoded",
            expected="float32, float16, int8 or uint8",
            found=tensor.dtype,
        )
    if is_integer != (tensor.quantization is not None):
        raise ConfigError(
            f"The output {tensor.name!r} has a type and a quantization that don't belong together",
            expected="a scale for int8 and uint8, none for float outputs",
            found=f"{tensor.dtype} with {tensor.quantization}",
        )


def _real(raw: Raw, tensor: TensorSpec) -> FloatArray:
    """Real values of raw ones, in float32."""
    values: FloatArray = raw.astype(np.float32, copy=False)
    if tensor.quantization is not None:
        values = values - np.float32(tensor.quantization.zero_point)
        values = values * np.float32(tensor.quantization.scale)
    return values
