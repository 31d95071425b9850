"""Quantize a float graph from quantization-aware training with the ranges that it learned.

No image is needed. Weights and ranges belong together: the weights weren't trained for the ranges that a
calibration would choose.
"""

from __future__ import annotations

import msgspec

from edgessd.core.errors import GraphError
from edgessd.core.network_tensors import INPUT
from edgessd.core.tensors import QuantParams
from edgessd.graph.verify import checked
from edgessd.model.trained_ranges import TrainedRanges
from edgessd.quantize.annotate import Plan, annotate
from edgessd.quantize.conv.conv_params import Activations, conv_params
from edgessd.quantize.float_passes.apply import QuantizableGraph
from edgessd.quantize.ptq import IMAGE_PARAMS
from edgessd.quantize.qdq.insert import insert_qdq
from edgessd.quantize.qdq.quant_graph import QuantGraph, Quantization
from edgessd.quantize.recipe import Recipe
from edgessd.quantize.schemes import Scheme, SchemeName, scheme_named


def quantize_trained(graph: QuantizableGraph, *, scheme: SchemeName, recipe: Recipe) -> QuantGraph:
    """Quantize a graph that carries `trained_ranges`.

    Args:
        graph: Graph of a checkpoint of `edgessd train --qat`, from `as_quantizable`.
        scheme: Scheme that it was trained for.
        recipe: Recipe of the training; its exemptions name the tensors that stay float.

    Raises:
        GraphError: The graph wasn't trained for the scheme, or a tensor to quantize has no trained range.
    """
    trained = graph.source.trained_ranges
    if trained is None:
        raise GraphError(
            "The graph has no trained ranges", fix="Quantize it with a calibration table"
        )
    if scheme not in trained.schemes:
        raise GraphError(
            f"The checkpoint was trained for another quantization scheme than {scheme}",
            expected=scheme,
            found=" and ".join(trained.schemes),
            fix="Train again with --qat-scheme both, or build from the float checkpoint",
        )
    chosen = scheme_named(scheme)
    model, contract = graph.graph.model, graph.graph.contract
    plan = annotate(model, chosen, recipe)
    activations = _activations(plan, trained, chosen)
    # As in training, the largest weight of a channel sets its scale, and rounding is to the nearest integer.
    plain = msgspec.structs.replace(recipe, weights="minmax")
    convolutions = conv_params(model, plan, activations, chosen, plain, {})
    return QuantGraph(
        model=checked(insert_qdq(model, activations, convolutions), after="insert_qdq"),
        contract=contract,
        quantization=Quantization(
            scheme=scheme,
            recipe=recipe,
            calibration=trained.calibration,
            graph_sha256=graph.source.sha256,
        ),
    )


def _activations(plan: Plan, trained: TrainedRanges, scheme: Scheme) -> Activations:
    missing = [group.name for group in plan.groups if group.name not in trained.ranges]
    if missing:
        raise GraphError(
            "A tensor to quantize was float in training",
            expected="a trained range of each quantized tensor",
            found=f"no range of {', '.join(missing[:3])}",
            fix="Build with the recipe that the training had",
        )
    activations: dict[str, tuple[str, QuantParams]] = {}
    for group in plan.groups:
        params = scheme.params(*trained.ranges[group.name])
        if INPUT in group.tensors:
            params = IMAGE_PARAMS
        activations.update(dict.fromkeys(group.tensors, (group.name, params)))
    return activations
