"""Lint a sound Q/DQ graph, and one for each way to break it."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgessd.graph.view import GraphView, set_initializer
from edgessd.lower.tensorrt.qdq_lint import Violation, advise_on_qdq, lint_qdq

CHANNELS = 16
SIX = np.float32(np.float16(6 / 127))


def _pair(name: str, scale: str, *, output: str | None = None) -> list[onnx.NodeProto]:
    parameters = [scale, "zero"]
    made = output or f"{name}.dq"
    return [
        helper.make_node("QuantizeLinear", [name, *parameters], [f"{name}.q"], f"{name}.Q"),
        helper.make_node("DequantizeLinear", [f"{name}.q", *parameters], [made], f"{name}.DQ"),
    ]


def _conv(name: str, source: str, **attributes: object) -> list[onnx.NodeProto]:
    weight = [f"{name}.w", f"{name}.ws", f"{name}.wz"]
    return [
        helper.make_node("DequantizeLinear", weight, [f"{name}.wdq"], f"{name}.WDQ", axis=0),
        helper.make_node("Conv", [source, f"{name}.wdq", f"{name}.b"], [name], name, **attributes),
    ]


def good_graph() -> onnx.ModelProto:
    """stem → ReLU6 → (1x1 branch + skip) → two heads, one with a transpose → concat."""
    nodes = [
        *_pair("image", "image.s"),
        *_conv("stem", "image.dq"),
        helper.make_node("Clip", ["stem", "low", "high"], ["act"], "act"),
        *_pair("act", "act.s"),
        *_conv("branch", "act.dq"),
        helper.make_node("Add", ["branch", "act.dq"], ["sum"], "sum"),
        *_pair("sum", "sum.s"),
        *_conv("left", "sum.dq", group=CHANNELS),
        *_pair("left", "out.s"),
        helper.make_node("Transpose", ["left.dq"], ["turned"], "turned", perm=(0, 1, 2, 3)),
        *_pair("turned", "out.s"),
        *_conv("right", "sum.dq"),
        *_pair("right", "out.s"),
        helper.make_node("Concat", ["turned.dq", "right.dq"], ["joined"], "joined", axis=1),
        *_pair("joined", "out.s", output="scores"),
    ]
    shapes = {
        "stem": (CHANNELS, 3, 1, 1),
        "branch": (CHANNELS, CHANNELS, 1, 1),
        "left": (CHANNELS, 1, 1, 1),
        "right": (CHANNELS, CHANNELS, 1, 1),
    }
    random = np.random.default_rng(0)
    values: dict[str, np.ndarray] = {
        "zero": np.int8(0),
        "low": np.float32(0),
        "high": np.float32(6),
        "image.s": np.float32(1 / 128),
        "act.s": SIX,
        "sum.s": np.float32(0.0625),
        "out.s": np.float32(0.125),
    }
    for name, shape in shapes.items():
        values[f"{name}.w"] = random.integers(-127, 128, shape).astype(np.int8)
        values[f"{name}.ws"] = np.full(CHANNELS, 2**-8, np.float32)
        values[f"{name}.wz"] = np.zeros(CHANNELS, np.int8)
        values[f"{name}.b"] = np.zeros(CHANNELS, np.float32)
    graph = helper.make_graph(
        nodes,
        "good",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, 8, 8))],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, (1, 2 * CHANNELS, 8, 8))],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(model, strict_mode=True))
    return model


def node(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    (found,) = [entry for entry in model.graph.node if entry.name == name]
    return found


def bypass(model: onnx.ModelProto, tensor: str, made: str | None = None) -> None:
    """Remove the Q/DQ pair of a tensor."""
    for entry in model.graph.node:
        entry.input[:] = [tensor if n == (made or f"{tensor}.dq") else n for n in entry.input]
    for name in (f"{tensor}.Q", f"{tensor}.DQ"):
        model.graph.node.remove(node(model, name))


def float_weight(model: onnx.ModelProto, conv: str) -> None:
    set_initializer(model, f"{conv}.wf", np.ones(GraphView(model).shape(f"{conv}.w"), np.float32))
    node(model, conv).input[1] = f"{conv}.wf"
    model.graph.node.remove(node(model, f"{conv}.WDQ"))


def insert_before(model: onnx.ModelProto, reader: str, nodes: list[onnx.NodeProto]) -> None:
    index = [entry.name for entry in model.graph.node].index(reader)
    kept = [onnx.NodeProto.FromString(entry.SerializeToString()) for entry in model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend([*kept[:index], *nodes, *kept[index:]])


def activation_zero_point(model: onnx.ModelProto) -> None:
    set_initializer(model, "other", np.int8(-128))
    for name in ("act.Q", "act.DQ"):
        node(model, name).input[2] = "other"


def unsigned_activation(model: onnx.ModelProto) -> None:
    set_initializer(model, "unsigned", np.uint8(0))
    for name in ("act.Q", "act.DQ"):
        node(model, name).input[2] = "unsigned"


def no_zero_point(model: onnx.ModelProto) -> None:
    del node(model, "sum.Q").input[2]
    del node(model, "sum.DQ").input[2]


def per_channel_activation(model: onnx.ModelProto) -> None:
    set_initializer(model, "many", np.full(CHANNELS, SIX))
    node(model, "act.Q").input[1] = node(model, "act.DQ").input[1] = "many"


def computed_scale(model: onnx.ModelProto) -> None:
    insert_before(model, "act.Q", [helper.make_node("Abs", ["act.s"], ["act.s.abs"], "abs")])
    node(model, "act.Q").input[1] = node(model, "act.DQ").input[1] = "act.s.abs"


def per_tensor_weight(model: onnx.ModelProto) -> None:
    set_initializer(model, "branch.ws", np.array(0.01, np.float32))
    set_initializer(model, "branch.wz", np.array(0, np.int8))


def weight_axis(model: onnx.ModelProto) -> None:
    node(model, "left.WDQ").attribute[0].i = 1


def weight_zero_point(model: onnx.ModelProto) -> None:
    set_initializer(model, "left.wz", np.array([0, 0, 3] + [0] * 13, np.int8))


def unsigned_weight(model: onnx.ModelProto) -> None:
    set_initializer(model, "right.w", np.ones((CHANNELS, CHANNELS, 1, 1), np.uint8))
    set_initializer(model, "right.wz", np.zeros(CHANNELS, np.uint8))


def integer_bias(model: onnx.ModelProto) -> None:
    set_initializer(model, "stem.b", np.zeros(CHANNELS, np.int32))
    parts = ["stem.b", "stem.ws"]
    insert_before(
        model,
        "stem",
        [helper.make_node("DequantizeLinear", parts, ["stem.bdq"], "stem.BDQ", axis=0)],
    )
    node(model, "stem").input[2] = "stem.bdq"


def quantized_before_activation(model: onnx.ModelProto) -> None:
    insert_before(model, "act", _pair("stem", "act.s"))
    node(model, "act").input[0] = "stem.dq"


def float_skip(model: onnx.ModelProto) -> None:
    node(model, "sum").input[1] = "act"


def quantized_branch(model: onnx.ModelProto) -> None:
    insert_before(model, "sum", _pair("branch", "sum.s"))
    node(model, "sum").input[0] = "branch.dq"


def other_scale_in_concat(model: onnx.ModelProto) -> None:
    set_initializer(model, "other.s", np.float32(0.25))
    for name in ("right.Q", "right.DQ"):
        node(model, name).input[1] = "other.s"


def float_in_concat(model: onnx.ModelProto) -> None:
    bypass(model, "right")


def wide_clip(model: onnx.ModelProto) -> None:
    # 126.4 steps make 6: integer 126 is 6 and 127 lies beyond it.
    set_initializer(model, "act.s", np.float32(6 / 126.4))


def quantizer_without_dequantizer(model: onnx.ModelProto) -> None:
    node(model, "turned").input[0] = "left.q"
    model.graph.node.remove(node(model, "left.DQ"))


def quantizer_without_reader(model: onnx.ModelProto) -> None:
    bypassed = onnx.NodeProto.FromString(node(model, "act.Q").SerializeToString())
    bypassed.name, bypassed.output[0] = "lost.Q", "lost"
    insert_before(model, "branch", [bypassed])


def dequantizer_without_quantizer(model: onnx.ModelProto) -> None:
    insert_before(
        model,
        "turned",
        [helper.make_node("Cast", ["left"], ["left.q"], "cast", to=TensorProto.INT8)],
    )
    model.graph.node.remove(node(model, "left.Q"))
    # The Cast has to come before its readers.
    dequantizer = onnx.NodeProto.FromString(node(model, "left.DQ").SerializeToString())
    model.graph.node.remove(node(model, "left.DQ"))
    insert_before(model, "turned", [dequantizer])


def unequal_pair(model: onnx.ModelProto) -> None:
    node(model, "act.DQ").input[1] = "sum.s"


def second_pair_with_another_scale(model: onnx.ModelProto) -> None:
    set_initializer(model, "other.s", np.float32(0.03))
    second = _pair("act", "other.s")
    for entry in second:
        entry.name = f"second.{entry.name}"
    second[0].output[0] = second[1].input[0] = "act.q2"
    second[1].output[0] = "act.dq2"
    insert_before(model, "sum", second)
    node(model, "sum").input[1] = "act.dq2"


def moved_to_another_scale(model: onnx.ModelProto) -> None:
    set_initializer(model, "other.s", np.float32(0.25))
    for name in ("left.Q", "left.DQ"):
        node(model, name).input[1] = "other.s"


def old_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 12


def opset_beyond_tensorrt_8(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 18


def float16_scales_in_an_old_opset(model: onnx.ModelProto) -> None:
    set_initializer(model, "sum.s", np.float16(0.0625))


def float_weight_alone(model: onnx.ModelProto) -> None:
    float_weight(model, "branch")


def float_input_alone(model: onnx.ModelProto) -> None:
    node(model, "left").input[0] = "sum"


def float_convolution(model: onnx.ModelProto) -> None:
    float_weight(model, "right")
    node(model, "right").input[0] = "sum"


def weight_from_run_time(model: onnx.ModelProto) -> None:
    insert_before(
        model, "right.WDQ", [helper.make_node("Identity", ["right.w"], ["right.wi"], "identity")]
    )
    node(model, "right.WDQ").input[0] = "right.wi"


CASES: list[tuple[Callable[[onnx.ModelProto], None], str, str, str]] = [
    (activation_zero_point, "zero-point", "act.Q", "Zero point -128"),
    (unsigned_activation, "int8", "act.Q", "integers are uint8"),
    (no_zero_point, "int8", "sum.Q", "No zero point, which means uint8"),
    (per_channel_activation, "per-tensor", "act.Q", "An activation with 16 scales"),
    (computed_scale, "constant-scale", "act.Q", "computed at run time"),
    (per_tensor_weight, "per-channel", "branch.WDQ", r"scales \(\) along axis 0"),
    (weight_axis, "per-channel", "left.WDQ", r"scales \(16,\) along axis 1"),
    (weight_zero_point, "zero-point", "left.WDQ", "Zero point 3"),
    (unsigned_weight, "int8", "right.WDQ", "weight of right is stored as uint8"),
    (weight_from_run_time, "weight-constant", "right.WDQ", "weight of right is computed"),
    (integer_bias, "float-bias", "stem", "bias is quantized"),
    (float_weight_alone, "conv-weight", "branch", "its weight isn't"),
    (float_input_alone, "conv-input", "left", "its input sum isn't"),
    (float_convolution, "conv-float", "right", "Neither input nor weight"),
    (
        quantized_before_activation,
        "split-activation",
        "stem.Q",
        "keeps the activation act from being fused with stem",
    ),
    (float_skip, "skip-input", "sum", "skip input act isn't quantized"),
    (quantized_branch, "residual-branch", "branch.Q", "keeps branch from being fused with sum"),
    (other_scale_in_concat, "concat-scale", "joined", r"turned.dq 0.125, right.dq 0.25"),
    (float_in_concat, "concat-scale", "joined", "right none"),
    (wide_clip, "clip", "act", "can't become a Relu"),
    (quantizer_without_dequantizer, "dangling", "left.Q", "read by Transpose turned"),
    (quantizer_without_reader, "dangling", "lost.Q", "read by nothing"),
    (dequantizer_without_quantizer, "dangling", "left.DQ", "output of Cast 'cast'"),
    (unequal_pair, "pair-scale", "act.DQ", "another scale than act.Q"),
    (second_pair_with_another_scale, "unequal-pairs", "second.act.Q", "here and by act.Q"),
    (moved_to_another_scale, "move-scale", "turned.Q", "Transpose turned only moves"),
    (old_opset, "opset", "", "Opset 12 with scales of float32"),
    (opset_beyond_tensorrt_8, "opset", "", "Opset 18 with scales of float32"),
    (float16_scales_in_an_old_opset, "opset", "", "Opset 17 with scales of float16 and float32"),
]


def test_a_good_graph_has_no_violation() -> None:
    assert lint_qdq(good_graph()) == ()


@pytest.mark.parametrize(
    ("spoil", "rule", "where", "words"), CASES, ids=[case[0].__name__ for case in CASES]
)
def test_each_way_to_break_it_is_named(
    spoil: Callable[[onnx.ModelProto], None], rule: str, where: str, words: str
) -> None:
    model = good_graph()
    spoil(model)
    found = [v for v in lint_qdq(model) if (v.rule, v.node) == (rule, where)]
    (violation,) = found
    assert re.search(words, violation.message), violation.message
    assert violation.fix.endswith(".")
    assert str(violation).startswith(f"[{rule}] ")
    # One fault violates one rule; a parameter that both nodes of a pair share is reported at each.
    rules = {v.rule for v in lint_qdq(model)}
    assert rules == {rule}, rules


def test_a_tensor_that_the_recipe_keeps_float_is_no_violation() -> None:
    model = good_graph()
    float_convolution(model)
    assert lint_qdq(model, kept_float=["su*"]) == ()
    assert [v.rule for v in lint_qdq(model, kept_float=["act"])] == ["conv-float"]


def test_a_skip_input_that_the_recipe_keeps_float_is_no_violation() -> None:
    model = good_graph()
    float_skip(model)
    assert lint_qdq(model, kept_float=["act"]) == ()


def test_integers_at_the_boundary_are_no_violation() -> None:
    model = good_graph()
    for entry in model.graph.node:
        entry.input[:] = ["image" if name == "image.q" else name for name in entry.input]
    model.graph.node.remove(node(model, "image.Q"))
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT8
    model.graph.node.remove(node(model, "joined.DQ"))
    node(model, "joined.Q").output[0] = "scores"
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT8
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(model, strict_mode=True))
    assert lint_qdq(model) == ()
    # The first layer may read integer pixels and still be float.
    float_weight(model, "stem")
    assert lint_qdq(model) == ()


def test_two_convolutions_that_meet_in_an_add_want_one_of_them_quantized() -> None:
    model = good_graph()
    # left (depthwise) and right are both float inputs of an Add: the first counts as the skip input.
    adding = helper.make_node("Add", ["left", "right"], ["both"], "both")
    insert_before(model, "joined", [adding])
    (violation,) = [v for v in lint_qdq(model) if v.rule == "skip-input"]
    assert violation == Violation(
        rule="skip-input",
        node="both",
        message="Its skip input left isn't quantized, so the sum runs in float.",
        fix="Put a Q/DQ pair on left.",
    )


def test_float16_graph_of_a_new_opset_is_fine() -> None:
    model = good_graph()
    set_initializer(model, "sum.s", np.float16(0.0625))
    model.opset_import[0].version = 19
    assert lint_qdq(model) == ()


def test_few_channels_are_advice_and_no_violation() -> None:
    model = good_graph()
    assert [(advice.node, advice.message) for advice in advise_on_qdq(model)] == [
        ("stem", "3 channels in and 16 out; INT8 needs at least 16 of each.")
    ]
