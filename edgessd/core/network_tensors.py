"""Names and forms of the tensors of an SSD network, the same in every graph and engine."""

from __future__ import annotations

from edgessd.core.contract import Contract, Preprocess
from edgessd.core.tensors import Affine, DType, TensorSpec

INPUT = "image"
BOX_CODES = "box_codes"
CLASS_SCORES = "class_scores"
OUTPUTS = (BOX_CODES, CLASS_SCORES)


def image_spec(
    preprocess: Preprocess, *, dtype: DType = "float32", quantization: Affine | None = None
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
