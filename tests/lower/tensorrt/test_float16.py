"""Convert a graph to float16, and refuse scales that float16 would change."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from edgessd.core.errors import LoweringError
from edgessd.graph.verify import run_model
from edgessd.graph.view import copy_of, set_initializer
from edgessd.lower.tensorrt.float16 import to_float16
from edgessd.lower.tensorrt.lower import lower_to_tensorrt
from edgessd.quantize.qdq import names
from edgessd.quantize.qdq.quant_graph import QuantGraph


def test_a_scale_that_float16_would_shift_is_refused(graph: QuantGraph) -> None:
    model = copy_of(graph.model)
    set_initializer(model, names.scale("backbone.blocks.2.add"), np.array(0.0123456, np.float32))
    bad = QuantGraph(model=model, contract=graph.contract, quantization=graph.quantization)
    with pytest.raises(LoweringError, match=r"scale of 'backbone.blocks.2.add.q' isn't a float16"):
        lower_to_tensorrt(bad)


def test_float_constants_beyond_float16_keep_their_node_float32() -> None:
    text = """<ir_version: 9, opset_import: ["" : 17]>
        g (float[3] x) => (float[3] y)
        <float[3] huge = {1e5, 2e5, 3e5}, float[3] small = {1e-5, 0.5, 2.0}> {
            scaled = Mul(x, small)
            wide = Mul(scaled, huge)
            y = Mul(wide, small)
        }"""
    model = onnx.shape_inference.infer_shapes(onnx.parser.parse_model(text))
    for index, node in enumerate(model.graph.node):
        node.name = f"mul{index}"
    found = onnx.shape_inference.infer_shapes(to_float16(model), strict_mode=True)
    onnx.checker.check_model(found)
    assert [node.op_type for node in found.graph.node] == ["Mul", "Cast", "Mul", "Cast", "Mul"]
    x = np.array([1, 0.01, 1e-3], np.float16)
    expected = run_model(model, {"x": x.astype(np.float32)})["y"]
    np.testing.assert_allclose(run_model(found, {"x": x})["y"], expected, rtol=3e-3)
