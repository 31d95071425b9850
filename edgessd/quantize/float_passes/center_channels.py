"""Move the range of every channel to the middle of its tensor's range.

The biases of a linear bottleneck decide where its channels lie: one spans -3 to 20, its neighbor -18 to 2,
and the tensor's range has to hold both. Subtract a constant n_c from channel c where it is written, and add
W n to the biases of the convolutions that read it: no output changes, and the tensor's range becomes as
wide as its widest channel ("channel-wise shifting" of arXiv:2304.09145). In MobileNetV2 the range shrinks
by a sixth; in a symmetric scheme, where a range reaches equally far on both sides, by a fifth.

* A convolution that pads reads zeros beyond the edge, which aren't shifted. So only 1x1 convolutions and
  residual Adds may read a shifted tensor.
* The output of an Add is shifted by the sum of its inputs' shifts. So a residual stream has one free shift
  for each convolution that writes into it. They are chosen by least squares, to center all tensors of the
  stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx

from edgessd.calibrate.channels import ChannelStatistics
from edgessd.core.arrays import DoubleArray
from edgessd.graph.view import GraphView, attribute, copy_of, set_initializer
from edgessd.quantize.float_passes.observed_graph import ObservedGraph

Makers = dict[str, onnx.NodeProto]


def center_channels(observed: ObservedGraph) -> ObservedGraph:
    """Shift every tensor that can be shifted."""
    graph, channels = observed.graph, observed.channels
    view = GraphView(graph.model)
    makers = _shiftable(graph.model, view, channels)
    shifts: dict[str, DoubleArray] = {}
    for stream in _streams(makers):
        shifts |= _centers(stream, makers, channels)
    biases: dict[str, DoubleArray] = {}
    for name, shift in shifts.items():
        if makers[name].op_type == "Conv":
            _add(biases, view, makers[name], -shift)
        for reader in view.consumers(name):
            if reader.op_type == "Conv":
                weight = np.asarray(view.constant(reader.input[1]), np.float64)
                _add(biases, view, reader, weight[:, :, 0, 0] @ shift)
    model = copy_of(graph.model)
    for stored, bias in biases.items():
        set_initializer(model, stored, bias.astype(np.float32))
    moved = {
        name: entry.moved(np.ones_like(entry.mean), -shifts[name]) if name in shifts else entry
        for name, entry in channels.items()
    }
    return observed.rewritten(model, by="center_channels", channels=moved)


def _shiftable(model: onnx.ModelProto, view: GraphView, channels: Mapping[str, object]) -> Makers:
    """Find the tensors that may be shifted, in graph order, and the nodes that make them."""
    makers = {
        node.output[0]: node
        for node in model.graph.node
        if node.op_type in ("Conv", "Add") and node.output[0] in channels
    }
    # A tensor that is removed can remove others, along the Adds in both directions.
    while True:
        out = [name for name, node in makers.items() if not _may_shift(view, name, node, makers)]
        if not out:
            return makers
        for name in out:
            del makers[name]


def _may_shift(view: GraphView, name: str, maker: onnx.NodeProto, makers: Makers) -> bool:
    if name in view.outputs:
        return False
    if maker.op_type == "Add" and not set(maker.input) <= makers.keys():
        return False
    return all(
        reader.output[0] in makers if reader.op_type == "Add" else _is_pointwise(view, reader)
        for reader in view.consumers(name)
    )


def _is_pointwise(view: GraphView, node: onnx.NodeProto) -> bool:
    """Tell whether a node is a 1x1 convolution without groups and padding."""
    pads: Any = attribute(node, "pads", [0])
    return (
        node.op_type == "Conv"
        and tuple(view.shape(node.input[1])[2:]) == (1, 1)
        and attribute(node, "group", 1) == 1
        and not any(pads)
    )


def _streams(makers: Makers) -> list[list[str]]:
    """Group tensors that Adds join, in graph order."""
    streams: dict[str, list[str]] = {}
    for name, maker in makers.items():
        joined = [name]
        if maker.op_type == "Add":
            for stream in {id(streams[source]): streams[source] for source in maker.input}.values():
                joined = stream + joined
        streams |= dict.fromkeys(joined, joined)
    return list({id(stream): stream for stream in streams.values()}.values())


def _centers(
    stream: list[str], makers: Makers, channels: Mapping[str, ChannelStatistics]
) -> dict[str, DoubleArray]:
    """Return the shift (C,) of each tensor of a stream."""
    made = [name for name in stream if makers[name].op_type == "Conv"]
    # Number of times that each free shift is part of a tensor's shift.
    terms: dict[str, DoubleArray] = {}
    for name in sorted(stream, key=list(makers).index):
        if name in made:
            terms[name] = np.eye(len(made))[made.index(name)]
        else:
            first, second = makers[name].input
            terms[name] = terms[first] + terms[second]
    entries = [channels[name] for name in stream]
    # Relative to the tensor's range, because its rounding error is proportional to that.
    spans = [(entry.mean_maximum - entry.mean_minimum).max() for entry in entries]
    weights = 1 / np.maximum(spans, 1e-9)[:, None]
    wanted = np.array([(entry.mean_maximum + entry.mean_minimum) / 2 for entry in entries])
    table = np.array([terms[name] for name in stream])
    free = np.linalg.lstsq(table * weights, wanted * weights, rcond=None)[0]
    return dict(zip(stream, table @ free, strict=True))


def _add(
    biases: dict[str, DoubleArray], view: GraphView, conv: onnx.NodeProto, change: DoubleArray
) -> None:
    stored = conv.input[2]
    if stored not in biases:
        biases[stored] = np.asarray(view.constant(stored), np.float64)
    biases[stored] = biases[stored] + change
