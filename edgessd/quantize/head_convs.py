"""The convolutions that write a network's output, behind transposes, reshapes and one concat."""

from __future__ import annotations

import onnx

from edgessd.core.errors import GraphError
from edgessd.graph.dataflow import MOVES
from edgessd.graph.view import GraphView


def head_convs(view: GraphView, output: str) -> list[onnx.NodeProto]:
    """The Conv nodes whose channels, moved and joined, are `output` (1, N, columns).

    Their channels are anchors times columns, column fastest.

    Raises:
        GraphError: Something else computes the output, or a head has another reader.
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
                expected="Conv, Transpose, Reshape and Concat alone",
                found=view.origin(name),
            )
        if name != output and view.only_consumer(name) is None:
            raise GraphError(f"{name!r}, a part of {output!r}, has another reader")
    return found
