"""Rank the tensors by the error that quantizing each of them causes.

Each tensor is quantized alone, with its parameters in the quantized graph, in a network that is float
everywhere else. Its share is the error of the outputs. The squared errors of independent roundings add up,
so the shares tell how much accuracy is gained by leaving a tensor in float.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx
from numpy.typing import NDArray

from edgessd.calibrate.calibration_set import Pixels
from edgessd.calibrate.samples import network_input
from edgessd.core.contract import Contract
from edgessd.core.errors import CalibrationError
from edgessd.core.network_tensors import INPUT, OUTPUTS
from edgessd.core.tensors import QuantParams
from edgessd.graph.verify import checked, make_session
from edgessd.graph.view import GraphView, copy_of, set_initializer
from edgessd.quantize.analysis.output_error import (
    RELEVANT,
    OutputError,
    Outputs,
    output_error,
    relevant_anchors,
)
from edgessd.quantize.qdq.insert import insert_qdq
from edgessd.quantize.qdq.names import float_name
from edgessd.quantize.qdq.read import has_integer_weight, quantized_tensors, real_parameter


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorLoss:
    """Error that quantizing one tensor, or one convolution's weights, causes alone.

    Attributes:
        name: Name of the tensor, or of the convolution.
        kind: `activation` or `weights`.
        score_error: Root mean square change of relevant scores, in [0, 1].
        box_error: Mean of 1 - IoU of relevant boxes.
        share: Fraction of the sum of all squared errors; scores and boxes count half each.
    """

    name: str
    kind: str
    score_error: float
    box_error: float
    share: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Sensitivity:
    """Errors of all tensors, and of the whole quantized graph.

    Attributes:
        losses: One entry a tensor or convolution, the largest share first.
        score_error, box_error: Errors of the whole quantized graph.
        images, anchors: Numbers of images and relevant anchors that were measured.
    """

    losses: tuple[TensorLoss, ...]
    score_error: float
    box_error: float
    images: int
    anchors: int


def measure_sensitivity(
    float_model: onnx.ModelProto,
    quantized: onnx.ModelProto,
    contract: Contract,
    samples: Pixels,
    progress: Callable[[int, int], None] | None = None,
) -> Sensitivity:
    """Quantize each activation and each convolution's weights alone.

    Args:
        float_model: Float model after all float passes.
        quantized: Quantized form of it.
        contract: Contract of both.
        samples: Pixels (n, 3, H, W) of calibration images.
        progress: Function called with (done, total).

    Raises:
        CalibrationError: There is no sample, or no anchor of any sample scores over `RELEVANT`.
    """
    images = [network_input(pixels, contract.preprocess) for pixels in samples]
    expected = _run(float_model, images)
    relevant = [relevant_anchors(scores, contract) for _, scores in expected]
    anchors = int(sum(mask.sum() for mask in relevant))
    if not anchors:
        raise CalibrationError(
            "Sensitivity can't be measured: the float network sees nothing",
            expected=f"calibration images with an object scored over {RELEVANT}",
            found=f"{len(images)} images without one",
            fix="Calibrate with images that show what the detector was trained on.",
        )

    def error_of(model: onnx.ModelProto) -> OutputError:
        return output_error(expected, _run(model, images), relevant, contract)

    variants = [
        *_activation_variants(float_model, quantized),
        *_weight_variants(float_model, quantized),
    ]
    measured = []
    for done, (name, kind, make) in enumerate(variants, 1):
        measured.append((name, kind, error_of(checked(make(), after="insert_qdq"))))
        if progress is not None:
            progress(done, len(variants))
    whole = error_of(quantized)
    score_power = sum(item.score for _, _, item in measured) or 1.0
    code_power = sum(item.code for _, _, item in measured) or 1.0
    losses = [
        TensorLoss(
            name=name,
            kind=kind,
            score_error=math.sqrt(item.score),
            box_error=item.box,
            share=(item.score / score_power + item.code / code_power) / 2,
        )
        for name, kind, item in measured
    ]
    return Sensitivity(
        losses=tuple(sorted(losses, key=lambda loss: -loss.share)),
        score_error=math.sqrt(whole.score),
        box_error=whole.box,
        images=len(images),
        anchors=anchors,
    )


Variant = tuple[str, str, Callable[[], onnx.ModelProto]]
"""Name, kind, and function that makes the graph with this part quantized."""


def _activation_variants(float_model: onnx.ModelProto, quantized: onnx.ModelProto) -> list[Variant]:
    """Make a variant for each scale; tensors that share a scale are quantized together."""
    inputs = GraphView(quantized).inputs
    groups: dict[str, tuple[QuantParams, list[str]]] = {}
    for tensor in quantized_tensors(quantized):
        if tensor.name not in inputs:
            groups.setdefault(tensor.stored, (tensor.params, []))[1].append(tensor.name)
    return [
        (stored, "activation", partial(_with_pairs, float_model, stored, params, tensors))
        for stored, (params, tensors) in groups.items()
    ]


def _with_pairs(
    float_model: onnx.ModelProto, stored: str, params: QuantParams, tensors: Sequence[str]
) -> onnx.ModelProto:
    """Return the float graph with the tensors of one scale quantized."""
    return insert_qdq(float_model, dict.fromkeys(tensors, (stored, params)), {})


def _weight_variants(float_model: onnx.ModelProto, quantized: onnx.ModelProto) -> list[Variant]:
    """Make a variant for each convolution with integer weights; its bias is quantized with them."""
    view = GraphView(quantized)
    found: list[Variant] = []
    for conv in quantized.graph.node:
        if conv.op_type == "Conv" and has_integer_weight(view, conv):
            make = partial(_with_parameters, float_model, view, list(conv.input))
            found.append((conv.name, "weights", make))
    return found


def _with_parameters(
    float_model: onnx.ModelProto, quantized: GraphView, inputs: Sequence[str]
) -> onnx.ModelProto:
    """Return the float graph with the rounded parameters of one convolution."""
    model = copy_of(float_model)
    for name in inputs[1:]:
        set_initializer(model, float_name(name), real_parameter(quantized, name))
    return model


def _run(model: onnx.ModelProto, images: Sequence[NDArray[np.float32]]) -> list[Outputs]:
    session = make_session(model, threads=1)
    return [tuple(session.run(list(OUTPUTS), {INPUT: image})) for image in images]
