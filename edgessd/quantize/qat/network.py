"""`QatNetwork`: a float graph as a torch network that rounds where its Q/DQ graph rounds.

The network is read off the graphs. The float graph defines the operations; its quantized forms define the
tensors with a Q/DQ pair and the convolutions with integer weights. So training rounds exactly where the
built graph rounds.

Batch norm is folded and the input is (pixel - 128) / 128, as in the engine. Weights are learned as
fractions of the largest value of their channel. An optimizer's step is then the same number of quantization
steps in every channel, however different folding and equalization have made the channels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgessd.core.contract import Contract
from edgessd.core.network_tensors import BOX_CODES, CLASS_SCORES, INPUT, OUTPUTS
from edgessd.core.tensors import QuantParams
from edgessd.graph.float_graph import FloatGraph
from edgessd.graph.view import GraphView
from edgessd.quantize.ptq import IMAGE_PARAMS
from edgessd.quantize.qat.conv import QatConv
from edgessd.quantize.qat.fake_quantize import (
    FakeParams,
    activation_params,
    fake_quantize,
    settled_weight,
)
from edgessd.quantize.qat.sites import quantizer_sites, start_ranges
from edgessd.quantize.qat.steps import Step, read_steps
from edgessd.quantize.qdq.quant_graph import QuantGraph
from edgessd.quantize.qdq.read import parameter_scales, real_parameter
from edgessd.quantize.qparams import WEIGHT_MAX
from edgessd.quantize.schemes import Scheme, SchemeName, scheme_named

SMALLEST_STRETCH = 0.05
"""Smallest learned range, as a fraction of the range at the start."""


class QatNetwork(nn.Module):
    """A torch network for quantization-aware training.

    `forward` maps an image (B, 3, H, W) float32, (pixel - 128) / 128, to raw box_codes (B, N, 4) and
    class_scores (B, N, C), like the Q/DQ graph.

    In training mode each batch uses the next scheme in turn, so that weights and ranges fit all schemes. In
    evaluation mode the network rounds by the scheme `judged`.

    Args:
        graph: Float graph after all float passes.
        quantized: Quantized graph of each scheme to train for; ranges start from their scales.

    Attributes:
        contract: Contract of the graphs.
        sites: Places where each scheme rounds.
        schemes: Schemes to train for.
        judged: Scheme of the evaluation mode; None for float. The first scheme at the start.
    """

    low_start: Tensor
    high_start: Tensor
    batches: Tensor

    def __init__(self, graph: FloatGraph, quantized: Sequence[QuantGraph]) -> None:
        super().__init__()
        self.contract: Contract = graph.contract
        self.sites = {graph.scheme: quantizer_sites(graph.model) for graph in quantized}
        self.schemes: tuple[SchemeName, ...] = tuple(self.sites)
        self.judged: SchemeName | None = self.schemes[0]
        self._steps = read_steps(graph.model)
        view = GraphView(graph.model)
        convs = [
            QatConv(node, *(np.asarray(view.constant(name)) for name in node.input[1:3]))
            for node in graph.model.graph.node
            if node.op_type == "Conv"
        ]
        self.convs = nn.ModuleList(convs)
        self._conv_index = {conv.name: index for index, conv in enumerate(convs)}
        starts = start_ranges(quantized)
        # The image's integers are its pixels, so its range isn't learned.
        fixed = self.sites[self.schemes[0]].activations.get(INPUT)
        self.range_names = tuple(name for name in starts if name != fixed)
        self._range_index = {name: index for index, name in enumerate(self.range_names)}
        self._fixed = {} if fixed is None else {fixed: starts[fixed]}
        limits = torch.tensor([starts[name] for name in self.range_names], dtype=torch.float32)
        self._two_sided = (limits[:, 0] < 0).tolist()
        self.register_buffer("low_start", limits[:, 0].clone())
        self.register_buffer("high_start", limits[:, 1].clone())
        # Factors of the ranges at the start, without dimension like the weights.
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
        """Run a forward pass in the scheme `judged` and return some of its tensors, rounded."""
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
        """Return (low, high) of every rounded tensor, by the name of its scale."""
        low, high = (limit.detach().double().tolist() for limit in self._limits())
        learned = dict(zip(self.range_names, zip(low, high, strict=True), strict=True))
        return {**self._fixed, **learned}

    def state_of_float(self) -> dict[str, Tensor]:
        """Return settled weights (`settled_weight`) and biases by their names in the float graph."""
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
        """Copy weights and biases from a quantized graph, with its rounding.

        Learned rounding may have moved the largest weight of a channel down by a step. The weight is moved
        back to the end of its scale, because in training the largest weight sets the scale.
        """
        view = GraphView(quantized.model)
        for node in quantized.model.graph.node:
            if node.op_type == "Conv":
                conv = self.convs[self._conv_index[node.name]]
                assert isinstance(conv, QatConv)
                weight, bias = (real_parameter(view, name) for name in node.input[1:3])
                scales = parameter_scales(view, node.input[1])
                if scales is not None:
                    flat = weight.reshape(len(weight), -1)
                    largest = np.abs(flat).argmax(axis=1)
                    rows = np.arange(len(flat))
                    flat[rows, largest] = np.sign(flat[rows, largest]) * scales * WEIGHT_MAX
                conv.set_real(weight, bias)

    def _rounding_schemes(self, conv: str) -> list[Scheme]:
        """Return the schemes in which a convolution has integer weights."""
        return [
            scheme_named(scheme)
            for scheme, sites in self.sites.items()
            if conv in sites.convolutions
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
                # The low end of a range that starts at 0 stays 0, and so does the zero point.
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
        return _Rounding(self.sites[scheme].activations, params)

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
            # A weight that this scheme leaves float is stored as the other scheme rounds it.
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
    """Rounding of one forward pass: rounds a tensor if the scheme has a Q/DQ pair there."""

    def __init__(self, activations: Mapping[str, str], params: Mapping[str, FakeParams]) -> None:
        self._activations = activations
        self._params = params

    def __call__(self, name: str, values: Tensor) -> Tensor:
        stored = self._activations.get(name)
        return values if stored is None else fake_quantize(values, self._params[stored])

    def activated(self, step: Step, values: Tensor) -> Tensor:
        """Clip to a step's bounds, unless the rounding that follows does it."""
        low, high = step.numbers
        stored = self._activations.get(step.output)
        if stored is not None:
            lowest, highest = self._params[stored].ends
            # A thousandth of tolerance: in float32, 255 steps of 6 / 255 aren't exactly 6.
            if highest <= high * 1.001:
                high = math.inf
            if lowest >= low:
                low = -math.inf
        if (low, high) == (-math.inf, math.inf):
            return values
        if (low, high) == (0, math.inf):
            return functional.relu(values, inplace=step.inputs[0] in step.frees)
        return functional.hardtanh(values, low, high)
