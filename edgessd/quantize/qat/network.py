"""A float graph as a torch network that rounds wherever its Q/DQ graph will: for quantization-aware training.

The network is read off the graphs themselves. The float graph says what is computed; a quantized form of
it says which tensors carry a Q/DQ pair and which convolutions have integer weights. So what is trained
can't stand anywhere else than what is built.

Batch norm is folded and the input is (pixel - 128) / 128, as in the engine. Weights are learned as
fractions of their channel's largest value: an optimizer's step is then so many quantization steps, in
every channel alike, however unlike folding and equalization have made the channels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgessd.core.contract import Contract
from edgessd.core.errors import GraphError
from edgessd.core.network_tensors import BOX_CODES, CLASS_SCORES, INPUT, OUTPUTS
from edgessd.core.tensors import QuantParams
from edgessd.graph.dataflow import ACTIVATIONS, MOVES, clip_bounds
from edgessd.graph.float_graph import FloatGraph
from edgessd.graph.view import GraphView, attribute
from edgessd.quantize.ptq import IMAGE_PARAMS
from edgessd.quantize.qat.fake_quantize import (
    FakeParams,
    activation_params,
    fake_quantize,
    fake_quantize_weight,
    settled_weight,
)
from edgessd.quantize.qdq.quant_graph import QuantGraph
from edgessd.quantize.qparams import INT8_MAX, INT8_MIN, WEIGHT_MAX
from edgessd.quantize.schemes import Scheme, SchemeName, scheme_named

SMALLEST_STRETCH = 0.05
"""A learned range never falls below this share of where it started."""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where one scheme rounds.

    Attributes:
        activations: Tensor → name of its scale.
        convolutions: Names of those with integer weights.
    """

    activations: Mapping[str, str]
    convolutions: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One node of the float graph.

    Attributes:
        op: `conv`, `clip`, `add`, `concat`, `transpose` or `reshape`.
        inputs: Tensors.
        output: Tensor.
        conv: Name of the convolution.
        numbers: Bounds of a clip, axis of a concat, permutation, or shape.
        frees: Tensors that nobody reads after it.
    """

    op: str
    inputs: tuple[str, ...]
    output: str
    conv: str = ""
    numbers: tuple[float, ...] = ()
    frees: tuple[str, ...] = ()


class QatConv(nn.Module):
    """A convolution with learnable fractions of its channels' first magnitudes.

    Attributes:
        name: Of the node.
        weight, bias: Parameters; times `weight_unit` and `bias_unit` they are the convolution's.
    """

    weight_unit: Tensor
    bias_unit: Tensor

    def __init__(self, node: onnx.NodeProto, weight: np.ndarray, bias: np.ndarray) -> None:
        super().__init__()
        self.name = node.name
        self._strides = _ints(node, "strides", (1, 1))
        self._dilations = _ints(node, "dilations", (1, 1))
        (self._groups,) = _ints(node, "group", (1,))
        self._pads = _ints(node, "pads", (0, 0, 0, 0))
        start = torch.from_numpy(np.array(weight, np.float32))
        largest = start.flatten(1).abs().amax(1).clamp_min(1e-6)
        typical = largest * start[0].numel() ** 0.5
        offset = torch.from_numpy(np.array(bias, np.float32))
        self.register_buffer("weight_unit", largest.view(-1, 1, 1, 1))
        self.register_buffer("bias_unit", torch.maximum(typical, offset.abs()))
        self.weight = nn.Parameter(start / self.weight_unit)
        self.bias = nn.Parameter(offset / self.bias_unit)

    def real(self) -> tuple[Tensor, Tensor]:
        """Weight (out, in / groups, kh, kw) and bias (out,)."""
        return self.weight * self.weight_unit, self.bias * self.bias_unit

    @torch.no_grad()
    def set_real(self, weight: np.ndarray, bias: np.ndarray) -> None:
        """Start from other values than those that gave the units."""
        self.weight.copy_(torch.from_numpy(np.array(weight, np.float32)) / self.weight_unit)
        self.bias.copy_(torch.from_numpy(np.array(bias, np.float32)) / self.bias_unit)

    def forward(self, x: Tensor, rounding: Scheme | None) -> Tensor:
        weight, bias = self.real()
        if rounding is not None:
            weight = fake_quantize_weight(weight, rounding)
        top, left, bottom, right = self._pads
        padding = (top, left)
        if (top, left) != (bottom, right):
            x, padding = functional.pad(x, (left, right, top, bottom)), (0, 0)
        return functional.conv2d(
            x, weight, bias, self._strides, padding, self._dilations, self._groups
        )


class QatNetwork(nn.Module):
    """See the module.

    forward: image (B, 3, H, W) float32, (pixel - 128) / 128, to box_codes (B, N, 4) and class_scores
    (B, N, C), raw, as the Q/DQ graph gives them.

    In training mode it takes the schemes in turns, a batch each, so that weights and ranges serve all of
    them; in evaluation mode it rounds as `judged` says.

    Args:
        graph: Float, its preprocessing absorbed.
        quantized: The same graph in each scheme to train for; their scales are where ranges start.

    Attributes:
        contract: Of the quantized graphs.
        judged: Scheme of the evaluation mode, None for float. The first of `quantized` at the start.
    """

    low_start: Tensor
    high_start: Tensor
    batches: Tensor

    def __init__(self, graph: FloatGraph, quantized: Sequence[QuantGraph]) -> None:
        super().__init__()
        self.contract: Contract = graph.contract
        self.placements = {one.scheme: _placement(one.model) for one in quantized}
        self.schemes: tuple[SchemeName, ...] = tuple(self.placements)
        self.judged: SchemeName | None = self.schemes[0]
        self._steps, convs = _read(graph.model)
        self.convs = nn.ModuleList(convs)
        self._conv_index = {conv.name: index for index, conv in enumerate(convs)}
        starts = _start_ranges(quantized)
        # The image's integers are its pixels; that is no range to learn.
        fixed = self.placements[self.schemes[0]].activations.get(INPUT)
        self.range_names = tuple(name for name in starts if name != fixed)
        self._range_index = {name: index for index, name in enumerate(self.range_names)}
        self._fixed = {} if fixed is None else {fixed: starts[fixed]}
        limits = torch.tensor([starts[name] for name in self.range_names], dtype=torch.float32)
        self._two_sided = (limits[:, 0] < 0).tolist()
        self.register_buffer("low_start", limits[:, 0].clone())
        self.register_buffer("high_start", limits[:, 1].clone())
        # Times the start: dimensionless, as the weights are.
        self.low_stretch = nn.Parameter(torch.ones(len(limits)))
        self.high_stretch = nn.Parameter(torch.ones(len(limits)))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        scheme = self.judged
        if self.training:
            scheme = self.schemes[int(self.batches) % len(self.schemes)]
            self.batches += 1
        values = self._values(image, scheme, OUTPUTS)
        return values[BOX_CODES], values[CLASS_SCORES]

    def tensors(self, image: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """Some tensors of a forward pass in the scheme of `judged`, as they are where they are read."""
        return self._values(image, self.judged, names)

    def _values(
        self, image: Tensor, scheme: SchemeName | None, wanted: Sequence[str]
    ) -> dict[str, Tensor]:
        rounding = self._rounding(scheme)
        values = {INPUT: rounding(INPUT, image)}
        for step in self._steps:
            made = self._computed(step, values, scheme, rounding)
            values[step.output] = rounding(step.output, made)
            for name in step.frees:
                if name not in wanted:
                    del values[name]
        return {name: values[name] for name in wanted}

    def ranges(self) -> dict[str, tuple[float, float]]:
        """(low, high) of every tensor that is rounded, by the name of its scale."""
        low, high = (limit.detach().double().tolist() for limit in self._limits())
        learned = dict(zip(self.range_names, zip(low, high, strict=True), strict=True))
        return {**self._fixed, **learned}

    def state_of_float(self) -> dict[str, Tensor]:
        """Weights, settled on what they are rounded to, and biases, by their names in the float graph."""
        state = {}
        for conv in self.convs:
            assert isinstance(conv, QatConv)
            weight, bias = conv.real()
            schemes = self._rounding_schemes(conv.name)
            settled = settled_weight(weight.detach(), schemes) if schemes else weight.detach()
            state[f"{conv.name}.weight"] = settled
            state[f"{conv.name}.bias"] = bias.detach()
        return state

    def start_from(self, quantized: QuantGraph) -> None:
        """Take over weights and biases as another method has rounded them.

        Learned rounding may have brought the largest weight of a channel down a step. It goes back to the
        end of its scale, because here the largest weight is what sets the scale.
        """
        view = GraphView(quantized.model)
        for node in quantized.model.graph.node:
            if node.op_type == "Conv":
                conv = self.convs[self._conv_index[node.name]]
                assert isinstance(conv, QatConv)
                weight, bias = (_real(view, name) for name in node.input[1:3])
                scales = _scales(view, node.input[1])
                if scales is not None:
                    flat = weight.reshape(len(weight), -1)
                    largest = np.abs(flat).argmax(axis=1)
                    rows = np.arange(len(flat))
                    flat[rows, largest] = np.sign(flat[rows, largest]) * scales * WEIGHT_MAX
                conv.set_real(weight, bias)

    def _rounding_schemes(self, conv: str) -> list[Scheme]:
        """Those in which a convolution's weights are integers."""
        return [
            scheme_named(scheme)
            for scheme, placement in self.placements.items()
            if conv in placement.convolutions
        ]

    def _limits(self) -> tuple[Tensor, Tensor]:
        return (
            self.low_start * self.low_stretch.clamp_min(SMALLEST_STRETCH),
            self.high_start * self.high_stretch.clamp_min(SMALLEST_STRETCH),
        )

    def _rounding(self, scheme: SchemeName | None) -> _Rounding:
        if scheme is None:
            return _Rounding({}, {})
        chosen, names = scheme_named(scheme), self.range_names
        scales, zero_points = activation_params(*self._limits(), chosen)
        numbers = zip(scales.tolist(), zero_points.tolist(), strict=True)
        params = {
            name: FakeParams(
                scale=scale,
                # A range that starts at 0 stays there, and so does its zero point.
                zero_point=zero_point if two_sided else zero_point.detach(),
                current=QuantParams(scale=current[0], zero_point=int(current[1])),
            )
            for name, scale, zero_point, current, two_sided in zip(
                names, scales, zero_points, numbers, self._two_sided, strict=True
            )
        }
        for name in self._fixed:
            params[name] = FakeParams(
                scale=scales.new_tensor(IMAGE_PARAMS.scale),
                zero_point=scales.new_tensor(float(IMAGE_PARAMS.zero_point)),
                current=IMAGE_PARAMS,
            )
        return _Rounding(self.placements[scheme].activations, params)

    def _computed(
        self,
        step: Step,
        values: Mapping[str, Tensor],
        scheme: SchemeName | None,
        rounding: _Rounding,
    ) -> Tensor:
        inputs = [values[name] for name in step.inputs]
        if step.op == "conv":
            schemes = [] if scheme is None else self._rounding_schemes(step.conv)
            # What one scheme leaves float is stored as the other rounds it.
            own = [one for one in schemes if one.name == scheme] or schemes
            made: Tensor = self.convs[self._conv_index[step.conv]](
                inputs[0], own[0] if own else None
            )
            return made
        if step.op == "clip":
            return rounding.activated(step, inputs[0])
        if step.op == "add":
            return inputs[0] + inputs[1]
        whole = [int(number) for number in step.numbers]
        if step.op == "concat":
            return torch.cat(inputs, dim=whole[0])
        if step.op == "transpose":
            return inputs[0].permute(whole)
        return inputs[0].reshape(len(inputs[0]), *whole[1:])


class _Rounding:
    """Rounds a tensor where a scheme has a Q/DQ pair."""

    def __init__(self, activations: Mapping[str, str], params: Mapping[str, FakeParams]) -> None:
        self._activations = activations
        self._params = params

    def __call__(self, name: str, values: Tensor) -> Tensor:
        stored = self._activations.get(name)
        return values if stored is None else fake_quantize(values, self._params[stored])

    def activated(self, step: Step, values: Tensor) -> Tensor:
        """Clip to a step's bounds, as far as the rounding behind it doesn't."""
        low, high = step.numbers
        stored = self._activations.get(step.output)
        if stored is not None:
            lowest, highest = self._params[stored].ends
            # A thousandth: what float32 makes of 255 steps of 6 / 255.
            if highest <= high * 1.001:
                high = math.inf
            if lowest >= low:
                low = -math.inf
        if (low, high) == (-math.inf, math.inf):
            return values
        if (low, high) == (0, math.inf):
            return functional.relu(values, inplace=step.inputs[0] in step.frees)
        return functional.hardtanh(values, low, high)


def _placement(model: onnx.ModelProto) -> Placement:
    view = GraphView(model)
    activations: dict[str, str] = {}
    convolutions = set()
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            stored, source = node.input[1].removesuffix(".scale"), view.producer(node.input[0])
            # What was moved or joined with the same scale is rounded already.
            moved: Sequence[str] = ()
            if source is not None and source.op_type in MOVES:
                moved = source.input[:1]
            elif source is not None and source.op_type == "Concat":
                moved = source.input
            if not moved or any(_stored(view, name) != stored for name in moved):
                activations[node.name.removesuffix(".q")] = stored
        elif node.op_type == "Conv" and not view.is_constant(node.input[1]):
            convolutions.add(node.name)
    return Placement(activations=activations, convolutions=frozenset(convolutions))


def _stored(view: GraphView, name: str) -> str:
    """The name of the scale behind a tensor, empty for one that is float."""
    producer = view.producer(name)
    if producer is None or producer.op_type != "DequantizeLinear":
        return ""
    return str(producer.input[1].removesuffix(".scale"))


def _start_ranges(quantized: Sequence[QuantGraph]) -> dict[str, tuple[float, float]]:
    """What the scales of the graphs can hold, by their names; the first graph that has one decides."""
    found: dict[str, tuple[float, float]] = {}
    for graph in quantized:
        view = GraphView(graph.model)
        for stored in dict.fromkeys(_placement(graph.model).activations.values()):
            scale = float(view.constant(f"{stored}.scale").item())
            zero_point = int(view.constant(f"{stored}.zero_point").item())
            limits = (scale * (INT8_MIN - zero_point), scale * (INT8_MAX - zero_point))
            if graph.scheme == "symmetric":
                limits = (-scale * INT8_MAX, scale * INT8_MAX)
            found.setdefault(stored, limits)
    return found


def _read(model: onnx.ModelProto) -> tuple[tuple[Step, ...], list[QatConv]]:
    """The steps of a float graph and its convolutions."""
    view = GraphView(model)
    steps: list[Step] = []
    convs: list[QatConv] = []
    last = {name: node.name for node in model.graph.node for name in node.input}
    for node in model.graph.node:
        made, numbers = _operation(view, node)
        if made == "conv":
            convs.append(QatConv(node, *(np.asarray(view.constant(n)) for n in node.input[1:3])))
        inputs = tuple(name for name in node.input if name and not view.is_constant(name))
        steps.append(
            Step(
                op=made,
                inputs=inputs,
                output=node.output[0],
                conv=node.name if made == "conv" else "",
                numbers=numbers,
                frees=tuple(n for n in dict.fromkeys(inputs) if last[n] == node.name),
            )
        )
    return tuple(steps), convs


def _operation(view: GraphView, node: onnx.NodeProto) -> tuple[str, tuple[float, ...]]:
    if node.op_type in ACTIVATIONS:
        return "clip", clip_bounds(view, node)
    if node.op_type == "Concat":
        return "concat", _ints(node, "axis", (0,))
    if node.op_type == "Transpose":
        return "transpose", _ints(node, "perm", ())
    if node.op_type == "Reshape":
        return "reshape", view.shape(node.output[0])
    if node.op_type in ("Conv", "Add"):
        return node.op_type.lower(), ()
    raise GraphError(
        "The graph holds an operation that can't be trained",
        expected="Conv, Relu, Clip, Add, Concat, Transpose, Reshape",
        found=f"{node.op_type} {node.name!r}",
    )


def _real(view: GraphView, name: str) -> np.ndarray:
    """A convolution's parameter, integer or float."""
    if view.is_constant(name):
        return np.asarray(view.constant(name), np.float32)
    node = view.producer(name)
    assert node is not None
    integers, scales, _ = (np.asarray(view.constant(part)) for part in node.input)
    shape = (-1, *[1] * (integers.ndim - 1))
    return np.asarray(integers, np.float32) * np.asarray(scales, np.float32).reshape(shape)


def _scales(view: GraphView, name: str) -> np.ndarray | None:
    """(out_channels,) of a weight; None for one that is float."""
    node = view.producer(name)
    return None if node is None else np.asarray(view.constant(node.input[1]), np.float32)


def _ints(node: onnx.NodeProto, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    value = attribute(node, name, default)
    numbers = value if isinstance(value, list | tuple) else [value]
    return tuple(int(str(number)) for number in numbers)
