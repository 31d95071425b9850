"""Refuse padding that a sliding window can't have."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tflite_graphs import one_conv

from edgessd.core.errors import LoweringError


@pytest.mark.parametrize("op_type", ["Conv", "MaxPool"])
def test_negative_padding(qdq_graph, op_type):
    """onnx's shape inference refuses such a graph, so the test calls `read_window` itself."""

    from edgessd.lower.tflite.graph_reader import read_network
    from edgessd.lower.tflite.windows import read_window

    (node,) = read_network(one_conv(qdq_graph()).model("out")).nodes
    node = replace(node, op_type=op_type, attributes={"pads": [-1, 0, 0, 0]})
    with pytest.raises(LoweringError, match="crops its input"):
        read_window(node, (3, 3))
