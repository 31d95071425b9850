"""Let the graph itself measure its tensors.

Fetching every tensor of a 300x300 MobileNetV2 would copy 40 MB per image to Python and scan it there.
Instead the graph gets, per tensor, its minimum, its maximum and an evenly strided sample, and returns
three flat arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from edgessd.graph.view import GraphView, copy_of, set_initializer

MINIMA, MAXIMA, SAMPLES = "probe.minima", "probe.maxima", "probe.samples"


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A float graph that returns statistics.

    Attributes:
        model: Outputs `probe.minima` and `probe.maxima` (T,), `probe.samples` (S,) float32.
        tensors: The T names, in the order of the outputs.
        splits: T - 1 positions at which `probe.samples` goes from one tensor to the next.
    """

    model: onnx.ModelProto
    tensors: tuple[str, ...]
    splits: tuple[int, ...]


def make_probe(model: onnx.ModelProto, tensors: Sequence[str], *, sample: int) -> Probe:
    """Add the measurements.

    Args:
        model: With inferred, static shapes.
        tensors: Names of the tensors to measure.
        sample: At most about this many values of a tensor are sampled per image.
    """
    view = GraphView(model)
    probe = copy_of(model)
    nodes, counts = [], []
    set_initializer(probe, "probe.flat", np.array([-1], np.int64))
    set_initializer(probe, "probe.start", np.array([0], np.int64))
    set_initializer(probe, "probe.end", np.array([np.iinfo(np.int64).max], np.int64))
    for index, name in enumerate(tensors):
        size = int(np.prod(view.shape(name)))
        stride = _stride(size, view.shape(name), sample)
        counts.append(-(-size // stride))
        nodes += _measure(probe, index, name, stride)
    for output, kind in ((MINIMA, "min"), (MAXIMA, "max"), (SAMPLES, "sample")):
        parts = [f"probe.{kind}.{index}" for index in range(len(tensors))]
        nodes.append(helper.make_node("Concat", parts, [output], output, axis=0))
    probe.graph.node.extend(nodes)
    del probe.graph.output[:]
    for output, length in (
        (MINIMA, len(tensors)),
        (MAXIMA, len(tensors)),
        (SAMPLES, sum(counts)),
    ):
        value = helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, [length])
        probe.graph.output.append(value)
    splits = tuple(int(position) for position in np.cumsum(counts)[:-1])
    return Probe(model=probe, tensors=tuple(tensors), splits=splits)


def _measure(
    probe: onnx.ModelProto, index: int, name: str, stride: int
) -> list[onnx.NodeProto]:
    flat = f"probe.flat.{index}"
    nodes = [helper.make_node("Reshape", [name, "probe.flat"], [flat], flat)]
    for kind, op in (("min", "ReduceMin"), ("max", "ReduceMax")):
        output = f"probe.{kind}.{index}"
        nodes.append(helper.make_node(op, [flat], [output], output, keepdims=1))
    step = f"probe.step.{stride}"
    set_initializer(probe, step, np.array([stride], np.int64))
    output = f"probe.sample.{index}"
    nodes.append(
        helper.make_node(
            "Slice", [flat, "probe.start", "probe.end", "probe.start", step], [output], output
        )
    )
    return nodes


def _stride(size: int, shape: tuple[int, ...], sample: int) -> int:
    """The smallest stride that samples few enough and shares no factor with a row or a column.

    A stride of 4 over (1, N, 4) would see one column only.
    """
    stride = max(1, -(-size // sample))
    if stride > 1:
        while any(np.gcd(stride, side) > 1 for side in shape[1:]):
            stride += 1
    return stride
