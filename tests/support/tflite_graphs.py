"""Graphs, windows and readers that several tests of `lower.tflite` share."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pytest

from edgessd.calibrate.calibration_set import CalibrationSet
from edgessd.core.errors import LoweringError
from edgessd.lower.tflite.lower import lower_network


def refused(graph, *outputs, **options):
    with pytest.raises(LoweringError) as caught:
        lower_network(graph.model(*outputs), **options)
    return str(caught.value)


def one_conv(graph, shape=(4, 3, 3, 3), out_scale=0.03, **attributes):
    x = graph.image((1, 3, 8, 8))
    graph.qdq(graph.conv(x, "conv", shape, **attributes), out_scale, 0, output="out")
    return graph


def conv_with(
    graph, weights=None, weight_scale=None, bias=None, bias_scale=None, out_scale=0.03, **qdq
):
    """A 1x1 Conv on 3 channels with 2 outputs whose constants can be wrong one at a time."""
    x = graph.image((1, 3, 4, 4))
    weights = np.ones((2, 3, 1, 1), np.int8) if weights is None else weights
    scale = np.full(2, 0.01, np.float32) if weight_scale is None else np.float32(weight_scale)
    inputs = [x, graph.weights("w", weights, scale, **qdq)]
    if bias is not None:
        bias_scale = scale / 128 if bias_scale is None else np.float32(bias_scale)
        inputs.append(graph.weights("b", np.asarray(bias, np.int32), bias_scale))
    graph.qdq(graph.op("Conv", inputs, "conv"), out_scale, 0, output="out")
    return graph


def scalar(name, value):
    from onnx import numpy_helper

    return numpy_helper.from_array(np.asarray(value), name)


RELU6 = 6 / 255


def random_qparams(random, low=0.02, high=0.2):
    return float(random.uniform(low, high)), int(random.integers(-128, 128))


SAME_EVEN_3X3_S2 = [0, 0, 1, 1]


SAME_3X3 = [1, 1, 1, 1]


VALID = [0, 0, 0, 0]


CONVS = [
    # kernel, stride, pads, size
    (1, 1, VALID, (7, 9)),
    (1, 2, VALID, (9, 8)),
    (3, 1, SAME_3X3, (8, 11)),
    (3, 2, SAME_EVEN_3X3_S2, (10, 12)),
    (3, 2, SAME_3X3, (9, 11)),
    (3, 2, SAME_3X3, (10, 12)),  # symmetric on an even size: needs a PAD op
    (3, 1, VALID, (8, 5)),
    (3, 2, VALID, (8, 9)),
    (3, 1, [0, 2, 1, 0], (6, 6)),
    (5, 2, [2, 2, 2, 2], (11, 9)),
    (2, 2, VALID, (7, 6)),
]


def pool(graph, kind, window, size, zero_point, **attributes):
    kernel, stride, pads = window
    x = graph.image((1, 5, *size), scale=0.05, zero_point=zero_point)
    attributes |= {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": pads}
    graph.qdq(graph.op(kind, [x], "pool", **attributes), 0.05, zero_point, output="out")
    return graph.model("out")


TENSORFLOW_POOLS = [
    ((2, 2, VALID), (9, 8)),
    ((3, 1, SAME_3X3), (8, 9)),
    ((3, 2, SAME_3X3), (9, 7)),
    ((3, 2, SAME_EVEN_3X3_S2), (8, 8)),
    ((3, 2, [1, 0, 1, 1]), (9, 8)),
]


OTHER_POOLS = [
    ((3, 2, SAME_3X3), (8, 8)),
    ((3, 2, [1, 0, 1, 1]), (8, 9)),
    ((3, 1, [2, 2, 0, 0]), (5, 6)),
]


def quant_graph(float_graph, images, recipe, scheme="affine"):
    from edgessd.calibrate.collect import collect
    from edgessd.quantize.float_passes.apply import as_quantizable
    from edgessd.quantize.ptq import quantize

    table = collect(float_graph, CalibrationSet(images))
    return quantize(as_quantizable(float_graph), table, scheme=scheme, recipe=recipe)


@dataclass(frozen=True)
class Parsed:
    """The parts of a model file that the tests look at."""

    content: bytes

    @cached_property
    def model(self) -> Any:
        from ai_edge_litert import schema_py_generated as schema

        return schema.ModelT.InitFromObj(schema.Model.GetRootAs(self.content, 0))

    def ops(self) -> Counter[str]:
        return Counter(self.code(op.opcodeIndex) for op in self.model.subgraphs[0].operators)

    def code(self, index: int) -> str:
        from ai_edge_litert.schema_py_generated import BuiltinOperator

        names = {value: name for name, value in vars(BuiltinOperator).items() if name.isupper()}
        return names[self.model.operatorCodes[index].builtinCode]

    def versions(self) -> dict[str, int]:
        codes = self.model.operatorCodes
        return {self.code(index): code.version for index, code in enumerate(codes)}
