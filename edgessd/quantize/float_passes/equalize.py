"""Share the range of a tensor among its channels.

A tensor has one scale, and the channel with the largest values sets it: in a MobileNetV2 the typical
channel of a linear bottleneck is left with 20 of 255 steps. Multiplying channel c by t_c where it is
made and dividing by t_c where it is read changes no output of the network ("cross-layer equalization",
section 4.1 of arXiv:1906.04721). That paper balances the ranges of weights, for weights with one scale
a tensor. Ours have one a channel, so here the ranges are those of activations:

    t_c = (R / r_c) ** alpha        r_c the range of channel c, R the largest of them

* Through a ReLU6 the values don't scale, since it ends at 6. But as far as t_c times the largest value
  ever seen stays within the tensor's own range, nothing that calibration saw is clipped anew.
* All tensors that residual Adds join carry the same channels, so they share one t.
* A depthwise convolution reads each channel with its own weights and scale: alpha = 1 costs nothing.
  A pointwise one mixes the channels, and dividing its columns by t widens the range of its weights.
  There alpha is chosen by what reaches its outputs: the activation's rounding, step^2 / 12 times the
  squared weights that it meets, plus the weights' rounding, step^2 / 12 times the input's variance;
  what it takes from the mean, `correct_bias` gives back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from edgessd.calibrate.channels import ChannelStatistics
from edgessd.core.union_find import UnionFind
from edgessd.graph.dataflow import ACTIVATIONS
from edgessd.graph.view import GraphView, attribute, copy_of, set_initializer
from edgessd.quantize.float_passes.observed_graph import ObservedGraph

FloatArray = NDArray[np.float64]

ALPHAS = np.linspace(0.0, 1.0, 21)

MARGIN = 1.2
"""Room above the largest value seen, for images that were not. A channel that few images wake gets as much
again as its largest value lies above the average image's: such a one holds the next surprise."""

SMALLEST_SHARE = 1 / 32
"""A channel's range counts as at least this share of the tensor's. A nearly dead channel carries little,
and enlarged a thousandfold it would be clipped as soon as an image wakes it up."""

WEIGHT_NOISE = 0.5
"""Share of the rounding noise of weights that learned rounding leaves."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Stream:
    """Tensors that must share their factors, and the convolutions around them.

    Attributes:
        tensors: Joined by residual Adds; mostly just one.
        producers: Convolutions whose output channels are multiplied.
        consumers: Convolutions whose input channels are divided.
        bounded: An activation stands between producer and tensor.
    """

    tensors: tuple[str, ...]
    producers: tuple[onnx.NodeProto, ...]
    consumers: tuple[onnx.NodeProto, ...]
    bounded: bool


def equalize(observed: ObservedGraph) -> ObservedGraph:
    """Equalize every stream of a float graph."""
    graph, channels = observed.graph, observed.channels
    view = GraphView(graph.model)
    parameters = {
        node.name: [np.asarray(view.constant(name), np.float64) for name in node.input[1:]]
        for node in graph.model.graph.node
        if node.op_type == "Conv"
    }
    for stream in _streams(graph.model, view, list(channels)):
        factors = _factors(stream, channels, parameters)
        for conv in stream.producers:
            weight, bias = parameters[conv.name]
            parameters[conv.name] = [weight * factors[:, None, None, None], bias * factors]
        for conv in stream.consumers:
            weight, bias = parameters[conv.name]
            parameters[conv.name] = [weight / _input_factors(conv, factors), bias]
    model = copy_of(graph.model)
    for node in graph.model.graph.node:
        for name, value in zip(node.input[1:], parameters.get(node.name, ()), strict=False):
            set_initializer(model, name, value.astype(np.float32))
    return observed.rewritten(model, by="equalize")


def _streams(model: onnx.ModelProto, view: GraphView, names: list[str]) -> list[Stream]:
    """Those that only convolutions make and only convolutions read, in graph order."""
    sets = UnionFind(names)
    for node in model.graph.node:
        if node.op_type == "Add" and node.output[0] in sets:
            for name in node.input:
                if name in sets:
                    sets.join(name, node.output[0])
    streams = (_stream(view, tensors) for tensors in sets.groups())
    return [stream for stream in streams if stream is not None]


def _stream(view: GraphView, tensors: list[str]) -> Stream | None:
    """None where something but a convolution or a residual Add touches the tensors."""
    producers, consumers, bounded = [], [], False
    for name in tensors:
        producer = view.producer(name)
        if producer is not None and producer.op_type in ACTIVATIONS:
            bounded = True
            producer = view.producer(producer.input[0])
        if producer is None or name in view.outputs:
            return None
        if producer.op_type == "Conv":
            producers.append(producer)
        elif producer.op_type != "Add" or not set(producer.input) <= set(tensors):
            return None
        for consumer in view.consumers(name):
            if consumer.op_type == "Conv":
                if attribute(consumer, "group", 1) not in (1, view.shape(name)[1]):
                    return None
                consumers.append(consumer)
            elif consumer.op_type != "Add" or consumer.output[0] not in tensors:
                return None
    if not producers or not consumers:
        return None
    return Stream(
        tensors=tuple(tensors),
        producers=tuple(producers),
        consumers=tuple(consumers),
        bounded=bounded,
    )


def _factors(
    stream: Stream,
    channels: Mapping[str, ChannelStatistics],
    parameters: Mapping[str, list[FloatArray]],
) -> FloatArray:
    """t (C,) of a stream, every factor >= 1."""
    statistics = [channels[name] for name in stream.tensors]
    if stream.bounded:
        seen = np.max([entry.maximum for entry in statistics], axis=0)
        usual = np.max([entry.mean_maximum for entry in statistics], axis=0)
        ranges = MARGIN * seen + (seen - usual)
        largest = float(seen.max())
    else:
        high = [entry.mean_maximum + 0.5 * entry.deviation_maximum for entry in statistics]
        low = [entry.mean_minimum - 0.5 * entry.deviation_minimum for entry in statistics]
        ranges = np.maximum(np.max(high, axis=0), 0) - np.minimum(np.min(low, axis=0), 0)
        largest = float(ranges.max())
    if not largest > 0:
        return np.ones(len(ranges))
    ratios = np.maximum(largest / np.maximum(ranges, largest * SMALLEST_SHARE), 1.0)
    variances = np.mean([entry.variance for entry in statistics], axis=0)
    weights = {conv.name: parameters[conv.name][0] for conv in stream.consumers}
    noises = [_noise(stream, weights, ratios**alpha, ranges, variances) for alpha in ALPHAS]
    return np.asarray(ratios ** ALPHAS[int(np.argmin(noises))])


def _noise(
    stream: Stream,
    weights: Mapping[str, FloatArray],
    factors: FloatArray,
    ranges: FloatArray,
    variances: FloatArray,
) -> float:
    """Rounding noise at the outputs of all consumers, times 12."""
    step = float((ranges * factors).max()) / 255
    total = 0.0
    for conv in stream.consumers:
        weight = weights[conv.name] / _input_factors(conv, factors)
        # Each of a stream's tensors is rounded, and what is rounded early is carried along.
        total += step**2 * len(stream.tensors) * float(np.square(weight).sum())
        if not _is_depthwise(conv):
            taps = weight.shape[2] * weight.shape[3]
            steps = np.abs(weight).max(axis=(1, 2, 3)) / 127
            fed = float((variances * factors**2).sum()) * taps
            total += WEIGHT_NOISE * float(np.square(steps).sum()) * fed
    return total


def _input_factors(conv: onnx.NodeProto, factors: FloatArray) -> FloatArray:
    """The factors in the shape of the weight's input channels."""
    if _is_depthwise(conv):
        return np.asarray(factors[:, None, None, None])
    return np.asarray(factors[None, :, None, None])


def _is_depthwise(conv: onnx.NodeProto) -> bool:
    return attribute(conv, "group", 1) != 1
