"""Share the range of a tensor among its channels.

A tensor has one scale, which the channel with the largest values sets: in a MobileNetV2 the typical channel
of a linear bottleneck uses 20 of 255 steps. Multiplying channel c by t_c where it is written and dividing
by t_c where it is read changes no output of the network ("cross-layer equalization", section 4.1 of
arXiv:1906.04721). The paper balances the ranges of weights with one scale a tensor. Our weights have one
scale a channel, so the ranges of activations are balanced here:

    t_c = (R / r_c) ** alpha        r_c the range of channel c, R the largest of them

* A ReLU6 ends at 6, so values beyond it don't scale. As long as t_c times the largest value seen stays within
  the tensor's range, no value of the calibration is clipped that wasn't clipped before.
* Tensors that residual Adds join have the same channels, so they share one t.
* A depthwise convolution reads each channel with its own weights and scale, so alpha = 1 costs nothing. A
  pointwise convolution mixes the channels, and dividing its columns by t widens the range of its weights.
  There alpha minimizes the noise at the outputs: the activation's rounding, step^2 / 12 times the squared
  weights, plus the weights' rounding, step^2 / 12 times the input's variance. `correct_bias` removes the
  weights' mean error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from edgessd.calibrate.channels import ChannelStatistics
from edgessd.core.arrays import DoubleArray
from edgessd.core.union_find import UnionFind
from edgessd.graph.dataflow import ACTIVATIONS
from edgessd.graph.view import GraphView, attribute, copy_of, set_initializer
from edgessd.quantize.float_passes.observed_graph import ObservedGraph

ALPHAS = np.linspace(0.0, 1.0, 21)

MARGIN = 1.2
"""Room above the largest value seen, for other images. A channel that is active in few images gets more
room: the distance of its largest value from that of the average image is added."""

SMALLEST_SHARE = 1 / 32
"""Smallest range of a channel that is assumed, as a fraction of the tensor's. A nearly dead channel matters
little, and enlarged a thousandfold it would clip as soon as an image activates it."""

WEIGHT_NOISE = 0.5
"""Fraction of the weights' rounding noise that remains after learned rounding."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Stream:
    """Tensors that share their factors, and the convolutions around them.

    Attributes:
        tensors: Tensors that residual Adds join; often a single one.
        producers: Convolutions whose output channels are multiplied.
        consumers: Convolutions whose input channels are divided.
        bounded: True if an activation function lies between producer and tensor.
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
    """Find the streams that only convolutions write and read, in graph order."""
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
    parameters: Mapping[str, list[DoubleArray]],
) -> DoubleArray:
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
    weights: Mapping[str, DoubleArray],
    factors: DoubleArray,
    ranges: DoubleArray,
    variances: DoubleArray,
) -> float:
    """Return 12 times the rounding noise at the outputs of all consumers."""
    step = float((ranges * factors).max()) / 255
    total = 0.0
    for conv in stream.consumers:
        weight = weights[conv.name] / _input_factors(conv, factors)
        # Each tensor of a stream is rounded, and the errors of early tensors stay in the later ones.
        total += step**2 * len(stream.tensors) * float(np.square(weight).sum())
        if not _is_depthwise(conv):
            taps = weight.shape[2] * weight.shape[3]
            steps = np.abs(weight).max(axis=(1, 2, 3)) / 127
            fed = float((variances * factors**2).sum()) * taps
            total += WEIGHT_NOISE * float(np.square(steps).sum()) * fed
    return total


def _input_factors(conv: onnx.NodeProto, factors: DoubleArray) -> DoubleArray:
    """Reshape the factors to the input channels of a convolution's weight."""
    if _is_depthwise(conv):
        return np.asarray(factors[:, None, None, None])
    return np.asarray(factors[None, :, None, None])


def _is_depthwise(conv: onnx.NodeProto) -> bool:
    return attribute(conv, "group", 1) != 1
