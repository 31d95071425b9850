"""Compute the integer parameters of convolutions from float weights and the activations' parameters."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from edgessd.calibrate.moments import InputMoments
from edgessd.core.tensors import QuantParams
from edgessd.graph.view import GraphView
from edgessd.quantize.annotate import Plan
from edgessd.quantize.conv.correct_bias import correct_bias
from edgessd.quantize.conv.guard_bias_overflow import guard_bias_overflow
from edgessd.quantize.conv.guard_tiny_multiplier import guard_tiny_multiplier
from edgessd.quantize.conv.round_weights import round_weights
from edgessd.quantize.conv.weight_limits import weight_limits
from edgessd.quantize.qdq.insert import ConvParams
from edgessd.quantize.qparams import (
    float16_bias,
    quantize_weight,
    weight_scales,
)
from edgessd.quantize.recipe import Recipe
from edgessd.quantize.schemes import Scheme

Activations = Mapping[str, tuple[str, QuantParams]]
"""Stored name and parameters of each tensor, by the tensor's name."""


def conv_params(
    model: onnx.ModelProto,
    plan: Plan,
    activations: Activations,
    scheme: Scheme,
    recipe: Recipe,
    moments: Mapping[str, InputMoments],
) -> dict[str, ConvParams]:
    """Return the integers, scales and biases of the convolutions that a plan names.

    Args:
        model: Float model after all float passes.
        plan: Plan from `annotate`.
        activations: Parameters of every quantized tensor.
        scheme: Scheme of the plan.
        recipe: Rules for limits, rounding and bias correction of weights.
        moments: Moments of the inputs of each convolution, by its name. A convolution without moments is
            rounded to the nearest integers, and its bias stays.
    """
    view = GraphView(model)
    wanted = set(plan.convolutions)
    found = {}
    for conv in model.graph.node:
        if conv.name not in wanted:
            continue
        weight = np.asarray(view.constant(conv.input[1]), np.float32)
        bias = np.asarray(view.constant(conv.input[2]), np.float32)
        source = activations[conv.input[0]][1]
        limits = weight_limits(weight, recipe.weights)
        scales = weight_scales(limits, float16=scheme.float16_parameters)
        scales = guard_bias_overflow(scales, bias, source, float16=scheme.float16_parameters)
        if scheme.integer_bias:
            scales = guard_tiny_multiplier(scales, source, _output_params(view, conv, activations))
        integers = quantize_weight(weight, scales)
        if conv.name in moments:
            fed = moments[conv.name]
            if recipe.rounding == "learned":
                integers = round_weights(weight, scales, fed, source.scale)
            if recipe.correct_bias:
                bias = correct_bias(bias, weight, integers, scales, fed)
        found[conv.name] = ConvParams(
            weight=integers,
            scales=scales,
            bias=float16_bias(bias) if scheme.float16_parameters else bias,
            bias_input=source if scheme.integer_bias else None,
        )
    return found


def _output_params(view: GraphView, conv: onnx.NodeProto, activations: Activations) -> QuantParams:
    """Return the parameters of the output of a Conv and its fused activation."""
    name = conv.output[0]
    if name not in activations:
        (activation,) = view.consumers(name)
        name = activation.output[0]
    return activations[name][1]
