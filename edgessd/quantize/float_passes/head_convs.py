"""Find and rescale the convolutions that write a network's output."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray

from edgessd.core.errors import GraphError
from edgessd.graph.dataflow import MOVES
from edgessd.graph.view import GraphView, set_initializer


def head_convs(view: GraphView, output: str) -> list[onnx.NodeProto]:
    """Find the Conv nodes whose channels, moved and joined, are `output` (1, N, columns).

    Their channels are anchors times columns, with the column as the fastest index.

    Raises:
        GraphError: Another operation computes the output, or a head has another reader.
    """
    found: list[onnx.NodeProto] = []
    pending = [output]
    while pending:
        name = pending.pop(0)
        node = view.producer(name)
        if node is not None and node.op_type == "Conv":
            found.append(node)
        elif node is not None and node.op_type == "Concat":
            pending.extend(node.input)
        elif node is not None and node.op_type in MOVES:
            pending.append(node.input[0])
        else:
            raise GraphError(
                f"The heads behind {output!r} can't be found",
                expected="only Conv, Transpose, Reshape and Concat",
                found=view.origin(name),
            )
        if name != output and view.only_consumer(name) is None:
            raise GraphError(f"{name!r}, a part of {output!r}, has another reader")
    return found


def move_channels(
    model: onnx.ModelProto,
    view: GraphView,
    conv: onnx.NodeProto,
    factors: NDArray[np.float64],
    offsets: NDArray[np.float64] | float = 0.0,
) -> None:
    """Rewrite a convolution to output its channels times `factors` plus `offsets`.

    Args:
        model: Model to change.
        view: View of the graph before the change.
        conv: Node of both, with a bias.
        factors, offsets: (out_channels,) each.
    """
    weight, bias = (np.asarray(view.constant(name), np.float64) for name in conv.input[1:3])
    weight = weight * factors.reshape(-1, *[1] * (weight.ndim - 1))
    set_initializer(model, conv.input[1], weight.astype(np.float32))
    set_initializer(model, conv.input[2], (bias * factors + offsets).astype(np.float32))
