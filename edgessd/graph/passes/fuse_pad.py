"""Fold a zero `Pad` into the `pads` of the Conv that follows it.

TensorFlow's SAME padding adds one row after and none before an even input. PyTorch exports it as a Pad, which
costs every engine an extra copy of the tensor.
"""

from __future__ import annotations

import numpy as np
import onnx

from edgessd.graph.view import GraphView, attribute, copy_of, replace_nodes


def fuse_pad(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace Pad(zeros, spatial axes) and its Conv by Conv(pads); any other Pad stays."""
    model = copy_of(model)
    view = GraphView(model)
    fused: set[str] = set()
    for conv in model.graph.node:
        if conv.op_type != "Conv":
            continue
        pad = view.producer(conv.input[0])
        if pad is None or pad.op_type != "Pad" or view.only_consumer(pad.output[0]) is None:
            continue
        amounts = _spatial_zero_pads(view, pad)
        if amounts is None or attribute(conv, "auto_pad", b"NOTSET") != b"NOTSET":
            continue
        before = list(attribute(conv, "pads", [0, 0, 0, 0]))  # type: ignore[call-overload]
        _set_ints(conv, "pads", [old + new for old, new in zip(before, amounts, strict=True)])
        conv.input[0] = pad.input[0]
        fused.add(pad.output[0])
    replace_nodes(model, [node for node in model.graph.node if node.output[0] not in fused])
    return model


def _spatial_zero_pads(view: GraphView, pad: onnx.NodeProto) -> list[int] | None:
    """Return (top, left, bottom, right) of a Pad that a Conv can replace; None for another Pad."""
    if attribute(pad, "mode", b"constant") != b"constant" or len(pad.input) > 3:
        return None
    if not view.is_constant(pad.input[1]):
        return None
    if len(pad.input) > 2 and pad.input[2] and np.any(view.constant(pad.input[2]) != 0):
        return None
    amounts = [int(amount) for amount in view.constant(pad.input[1])]
    if len(amounts) != 8 or any(amounts[axis] for axis in (0, 1, 4, 5)) or min(amounts) < 0:
        return None
    return [amounts[2], amounts[3], amounts[6], amounts[7]]


def _set_ints(node: onnx.NodeProto, name: str, values: list[int]) -> None:
    kept = [entry for entry in node.attribute if entry.name != name]
    kept = [onnx.AttributeProto.FromString(entry.SerializeToString()) for entry in kept]
    del node.attribute[:]
    node.attribute.extend([*kept, onnx.helper.make_attribute(name, values)])
