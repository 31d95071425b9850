"""Post-training quantization: from a float graph and its calibration table to a Q/DQ graph."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from edgessd.bundle.manifest import CalibrationRecord
from edgessd.calibrate.calibration_set import Pixels
from edgessd.calibrate.moments import InputMoments, collect_moments
from edgessd.calibrate.table import CalibrationTable
from edgessd.core.contract import Contract
from edgessd.core.errors import CalibrationError
from edgessd.core.tensors import QuantParams
from edgessd.graph.float_graph import FloatGraph
from edgessd.graph.verify import checked
from edgessd.graph.view import GraphView
from edgessd.quantize.annotate import Group, Plan, annotate
from edgessd.quantize.conv.conv_params import Activations, conv_params
from edgessd.quantize.float_passes.absorb_preprocess import CENTER
from edgessd.quantize.float_passes.apply import QuantizableGraph
from edgessd.quantize.qdq.insert import insert_qdq
from edgessd.quantize.qdq.quant_graph import QuantGraph, Quantization
from edgessd.quantize.ranges.catalog import activation_range
from edgessd.quantize.ranges.score_floor import with_score_floor
from edgessd.quantize.ranges.tighten_ranges import Range, tighten_ranges
from edgessd.quantize.recipe import Recipe
from edgessd.quantize.schemes import Scheme, SchemeName, scheme_named

IMAGE_PARAMS = QuantParams(scale=1 / CENTER, zero_point=0)
"""Parameters of an input (pixel - 128) / 128, whose integers are exactly pixel - 128."""


def quantize(
    graph: QuantizableGraph, table: CalibrationTable, *, scheme: SchemeName, recipe: Recipe
) -> QuantGraph:
    """Quantize a float graph.

    Args:
        graph: Graph after the float passes.
        table: Table of `graph.source`, from `calibrate.collect`.
        scheme: `affine` for LiteRT, Edge TPU and onnxruntime; `symmetric` for TensorRT.
        recipe: Range rules and rounding.

    Raises:
        CalibrationError: The table belongs to another graph or has fewer images than the recipe requires.
        GraphError: Something in the graph can't be quantized.
    """
    _check_table(graph.source, table, recipe)
    chosen = scheme_named(scheme)
    model, contract = graph.graph.model, graph.graph.contract
    plan = with_score_floor(annotate(model, chosen, recipe), contract)
    ranges = _ranges(plan, table, chosen, GraphView(model).inputs[0])
    if recipe.tighten_ranges:
        samples = _samples(table)
        ranges = tighten_ranges(model, contract, plan, ranges, chosen, samples)
    activations = _activation_params(plan, ranges, chosen)
    moments = _moments(model, contract, plan, table, recipe)
    convolutions = conv_params(model, plan, activations, chosen, recipe, moments)
    quantized = checked(insert_qdq(model, activations, convolutions), after="insert_qdq")
    return QuantGraph(
        model=quantized,
        contract=contract,
        quantization=Quantization(
            scheme=scheme,
            recipe=recipe,
            calibration=CalibrationRecord(
                recipe=recipe.name, images=len(table.images), images_sha256=table.images_sha256
            ),
            graph_sha256=graph.source.sha256,
        ),
    )


def _check_table(graph: FloatGraph, table: CalibrationTable, recipe: Recipe) -> None:
    if table.graph_sha256 != graph.sha256:
        raise CalibrationError(
            "The calibration table belongs to another graph",
            expected=f"statistics of graph {graph.sha256[:12]}",
            found=f"statistics of graph {table.graph_sha256[:12]}",
            fix="Calibrate again with this checkpoint.",
        )
    if len(table.images) < recipe.minimum_images:
        raise CalibrationError(
            "The calibration table comes from too few images",
            expected=f"at least {recipe.minimum_images} for recipe {recipe.name!r}",
            found=str(len(table.images)),
            fix="Calibrate again with more images, or lower minimum_images in the recipe.",
        )


def _ranges(plan: Plan, table: CalibrationTable, scheme: Scheme, image: str) -> dict[str, Range]:
    """Return (low, high) of every group but the image's, by its name."""
    return {
        group.name: _group_range(group, table, scheme)
        for group in plan.groups
        if image not in group.tensors
    }


def _group_range(group: Group, table: CalibrationTable, scheme: Scheme) -> Range:
    ranges = [activation_range(table[name], group.rule, scheme) for name in group.sources]
    low = max(min(low for low, _ in ranges), group.low)
    high = min(max(high for _, high in ranges), group.high)
    return low, max(low, high)


def _activation_params(plan: Plan, ranges: Mapping[str, Range], scheme: Scheme) -> Activations:
    """Return the stored name and the parameters of each tensor."""
    activations: dict[str, tuple[str, QuantParams]] = {}
    for group in plan.groups:
        known = group.name in ranges
        params = scheme.params(*ranges[group.name]) if known else IMAGE_PARAMS
        activations.update(dict.fromkeys(group.tensors, (group.name, params)))
    return activations


def _moments(
    model: onnx.ModelProto,
    contract: Contract,
    plan: Plan,
    table: CalibrationTable,
    recipe: Recipe,
) -> dict[str, InputMoments]:
    """Collect the moments of each convolution's inputs if the recipe needs them."""
    if recipe.rounding == "nearest" and not recipe.correct_bias:
        return {}
    wanted = set(plan.convolutions)
    convolutions = [node for node in model.graph.node if node.name in wanted]
    return collect_moments(model, contract.preprocess, convolutions, _samples(table))


def _samples(table: CalibrationTable) -> Pixels:
    if not len(table.samples):
        raise CalibrationError(
            "Tightened ranges, learned rounding and bias correction need images, and the calibration "
            "table has none",
            expected="a table with samples, as calibration writes it",
            found="a table of statistics only",
            fix="Calibrate again, or leave tighten_ranges, rounding and correct_bias out of the recipe.",
        )
    return table.samples
