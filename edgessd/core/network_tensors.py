"""Names and forms of the tensors of an SSD network, the same in every graph and engine."""

from __future__ import annotations

from edgessd.core.contract import Contract, Preprocess
from edgessd.core.tensors import DType, QuantParams, TensorSpec

INPUT = "image"
BOX_CODES = "box_codes"
CLASS_SCORES = "class_scores"
OUTPUTS = (BOX_CODES, CLASS_SCORES)

DETECTION_OP = "TFLite_Detection_PostProcess"
"""TFLite's custom operator that decodes and suppresses inside the engine."""

DETECTION_OUTPUTS = (DETECTION_OP, f"{DETECTION_OP}:1", f"{DETECTION_OP}:2", f"{DETECTION_OP}:3")
"""Names of its outputs in TensorFlow's object-detection models: boxes, classes, scores, count."""

DETECTION_SIGNATURE = ("output_3", "output_2", "output_1", "output_0")
"""Names of the same outputs in the signature that TensorFlow 2 exports."""


def image_spec(
    preprocess: Preprocess, *, dtype: DType = "float32", quantization: QuantParams | None = None
) -> TensorSpec:
    """Describe the network's input as (1, 3, H, W) NCHW, the form of every ONNX graph."""
    return TensorSpec(
        name=INPUT,
        shape=(1, 3, preprocess.height, preprocess.width),
        dtype=dtype,
        quantization=quantization,
        layout="NCHW",
    )


def output_shapes(contract: Contract) -> dict[str, tuple[int, int, int]]:
    """Shapes of the raw outputs by name: `box_codes` (1, N, 4) and `class_scores` (1, N, C)."""
    anchors = contract.anchors.count
    return {BOX_CODES: (1, anchors, 4), CLASS_SCORES: (1, anchors, contract.columns)}


def output_specs(contract: Contract) -> tuple[TensorSpec, TensorSpec]:
    """Describe `box_codes` and `class_scores`, in this order, as float32 tensors."""
    shapes = output_shapes(contract)
    return (
        TensorSpec(name=BOX_CODES, shape=shapes[BOX_CODES], dtype="float32"),
        TensorSpec(name=CLASS_SCORES, shape=shapes[CLASS_SCORES], dtype="float32"),
    )


def detection_specs(count: int) -> tuple[TensorSpec, ...]:
    """Describe `DETECTION_OUTPUTS` for up to `count` detections; all are float32.

    Boxes (1, count, 4) are top, left, bottom, right in fractions of the input; classes and scores are
    (1, count); the number of valid rows is (1,).
    """
    shapes = ((1, count, 4), (1, count), (1, count), (1,))
    return tuple(
        TensorSpec(name=name, shape=shape, dtype="float32")
        for name, shape in zip(DETECTION_OUTPUTS, shapes, strict=True)
    )
