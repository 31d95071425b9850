"""The one path from a float graph to quantized graphs: float passes, calibration, quantization, audit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgessd.bundle.quality import CalibrationAudit
from edgessd.calibrate.audit import audit_calibration
from edgessd.calibrate.calibration_set import CalibrationSet
from edgessd.calibrate.table import CalibrationTable
from edgessd.graph.float_graph import FloatGraph
from edgessd.quantize.analysis.saturation import saturation
from edgessd.quantize.calibration_cache import calibration_table, quantizable_graph
from edgessd.quantize.float_passes.apply import QuantizableGraph, as_quantizable
from edgessd.quantize.ptq import quantize
from edgessd.quantize.qat.trained import quantize_trained
from edgessd.quantize.qdq.quant_graph import QuantGraph
from edgessd.quantize.recipe import Recipe
from edgessd.quantize.schemes import SchemeName

Stage = Literal["calibrate", "quantize", "audit"]
Progress = Callable[[Stage, int, int], None]
"""Function called with (stage, done, total), first with (stage, 0, 0) at the start of each stage."""


@dataclass(frozen=True, kw_only=True)
class QuantizationResult:
    """Everything that quantizing a float graph gives.

    Attributes:
        graph: Float graph after the float passes.
        table: Statistics behind the ranges; None if training chose the ranges.
        quantized: Quantized graph of each scheme.
        saturation: Fraction of each tensor's calibration values that clip, by scheme; empty if training
            chose the ranges.
        audit: Judgment of the calibration; that of the training's own if training chose the ranges.
    """

    graph: QuantizableGraph
    table: CalibrationTable | None
    quantized: Mapping[SchemeName, QuantGraph]
    saturation: Mapping[SchemeName, Mapping[str, float]]
    audit: CalibrationAudit


def quantize_graph(
    graph: FloatGraph,
    images: CalibrationSet,
    *,
    recipe: Recipe,
    schemes: Sequence[SchemeName],
    cache: Path | None = None,
    audit_saturation: bool = True,
    progress: Progress = lambda *_: None,
) -> QuantizationResult:
    """Quantize a float graph in some schemes.

    A graph with `trained_ranges` is quantized with them as it stands: its weights were trained for these
    ranges, so no pass rewrites it, and no image is read.

    Args:
        graph: Graph from `export_float_graph`.
        images: Calibration images.
        recipe: Float passes, range rules and rounding.
        schemes: Schemes to quantize in.
        cache: Folder of rewritten graphs and tables that serve again; None keeps none.
        audit_saturation: True to judge the ranges, too; False if training will move them.
        progress: Function called with (stage, done, total).

    Raises:
        CalibrationError: The images are too few, copies of too few, or those of the evaluation.
        GraphError: Something in the graph can't be quantized, or it wasn't trained for a scheme.
    """
    if graph.trained_ranges is not None:
        progress("quantize", 0, 0)
        quantizable = as_quantizable(graph)
        return QuantizationResult(
            graph=quantizable,
            table=None,
            quantized={
                scheme: quantize_trained(quantizable, scheme=scheme, recipe=recipe)
                for scheme in schemes
            },
            saturation={},
            audit=graph.trained_ranges.audit,
        )
    progress("calibrate", 0, 0)
    quantizable = quantizable_graph(graph, images, recipe.float_passes, cache=cache)
    table = calibration_table(
        quantizable.source,
        images,
        minimum=recipe.minimum_images,
        cache=cache,
        progress=lambda done, total: progress("calibrate", done, total),
    )
    return quantize_calibrated(
        quantizable,
        table,
        images,
        recipe=recipe,
        schemes=schemes,
        audit_saturation=audit_saturation,
        progress=progress,
    )


def quantize_calibrated(
    graph: QuantizableGraph,
    table: CalibrationTable,
    images: CalibrationSet,
    *,
    recipe: Recipe,
    schemes: Sequence[SchemeName],
    audit_saturation: bool = True,
    progress: Progress = lambda *_: None,
) -> QuantizationResult:
    """Quantize a calibrated graph, for example with another recipe of the same float passes.

    Args:
        graph: Float graph after the float passes.
        table: Table of `graph.source`.
        images: Images of the table.
        recipe: Range rules and rounding; its float passes are those of `graph`.
        schemes: Schemes to quantize in.
        audit_saturation: True to judge the ranges, too; False if training will move them.
        progress: Function called with (stage, done, total).

    Raises:
        CalibrationError: The table belongs to another graph, or the images aren't fit to calibrate with.
        GraphError: Something in the graph can't be quantized.
    """
    progress("quantize", 0, 0)
    quantized = {scheme: quantize(graph, table, scheme=scheme, recipe=recipe) for scheme in schemes}
    progress("audit", 0, 0)
    clipped = {scheme: saturation(found.model, table) for scheme, found in quantized.items()}
    worst = {
        name: max(shares[name] for shares in clipped.values() if name in shares)
        for name in dict.fromkeys(name for shares in clipped.values() for name in shares)
    }
    audit = audit_calibration(
        table,
        images,
        saturation=worst if audit_saturation else {},
        minimum=recipe.minimum_images,
        labels=graph.source.contract.labels,
    )
    return QuantizationResult(
        graph=graph, table=table, quantized=quantized, saturation=clipped, audit=audit
    )
