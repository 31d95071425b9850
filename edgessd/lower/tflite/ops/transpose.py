"""Remove a Transpose between ONNX's NCHW and TFLite's NHWC."""

from __future__ import annotations

from edgessd.lower.tflite.flatbuffer import ModelBuilder
from edgessd.lower.tflite.graph_reader import TO_NCHW, TO_NHWC
from edgessd.lower.tflite.ir import QuantNode


def lower(node: QuantNode, builder: ModelBuilder) -> None:
    """Use the input as the output: its values already lie in memory in the transposed order."""
    source = node.activation()
    node.require_same_qparams(source)
    if node.clamp is not None:
        node.refuse("an activation function follows it, which nothing can fuse")
    perm = list(node.attributes.get("perm", []))
    if perm != (TO_NHWC if source.layout == "NCHW" else TO_NCHW):
        node.refuse(
            f"it permutes {source.name!r} ({source.layout}) by {perm}, which moves data",
            expected=f"{TO_NHWC} on NCHW images, or {TO_NCHW} back",
        )
    builder.alias(node.output, source)
