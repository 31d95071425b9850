"""Replace a Clip by Relu only if every reader saturates at its upper bound."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from edgessd.graph.verify import run_model
from edgessd.graph.view import copy_of
from edgessd.lower.tensorrt.relu import clip_to_relu


def relu6(scale: float, *, zero_point: int = 0, low: float = 0.0) -> onnx.ModelProto:
    """Clip(low, 6) → Q → DQ over 4,097 numbers."""
    text = f"""<ir_version: 9, opset_import: ["" : 17]>
        g (float[4097] x) => (float[4097] y)
        <float low = {{{low}}}, float high = {{6.0}}, float scale = {{{scale!r}}},
         int8 zero = {{{zero_point}}}> {{
            clipped = Clip(x, low, high)
            integers = QuantizeLinear(clipped, scale, zero)
            y = DequantizeLinear(integers, scale, zero)
        }}"""
    return onnx.parser.parse_model(text)


@pytest.mark.parametrize(
    ("scale", "replaced"),
    [
        (float(np.float32(np.float16(6 / 127))), True),
        (0.02, True),
        # Where 126.5 steps make 6, integer 126 is 6 and 127 lies beyond.
        (6 / 126.49, False),
        (6 / 126.51, True),
        (0.06, False),
    ],
)
def test_relu6_becomes_relu_only_where_that_is_exact(scale: float, replaced: bool) -> None:
    model = relu6(scale)
    found = clip_to_relu(model)
    assert found.graph.node[0].op_type == ("Relu" if replaced else "Clip")
    x = np.linspace(-10, 20, 4097).astype(np.float32)
    expected = run_model(model, {"x": x})["y"]
    np.testing.assert_array_equal(run_model(found, {"x": x})["y"], expected)
    if not replaced:
        # Without the guard it would be wrong.
        forced = copy_of(model)
        forced.graph.node[0].CopyFrom(onnx.helper.make_node("Relu", ["x"], ["clipped"]))
        assert (run_model(forced, {"x": x})["y"] != expected).any()


@pytest.mark.parametrize("model", [relu6(0.02, zero_point=-128), relu6(0.02, low=-1.0)])
def test_a_clip_that_is_no_relu_stays(model: onnx.ModelProto) -> None:
    assert clip_to_relu(model).graph.node[0].op_type == "Clip"
