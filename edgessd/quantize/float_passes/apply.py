"""Float passes: rewrite a float graph so that it quantizes better and still gives the same detections.

They run before calibration and know no scheme: one rewritten graph and one table serve every target.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgessd.calibrate.calibration_set import Pixels
from edgessd.calibrate.samples import no_samples
from edgessd.graph.float_graph import FloatGraph
from edgessd.quantize.float_passes.absorb_preprocess import absorb_preprocess
from edgessd.quantize.float_passes.balance_box_codes import balance_box_codes
from edgessd.quantize.float_passes.center_channels import center_channels
from edgessd.quantize.float_passes.equalize import equalize
from edgessd.quantize.float_passes.observed_graph import ObservedGraph
from edgessd.quantize.float_passes.shift_box_sizes import shift_box_sizes
from edgessd.quantize.float_passes.silence_background import silence_background
from edgessd.quantize.recipe import FloatPasses

FloatPass = Callable[[ObservedGraph], ObservedGraph]

FLOAT_PASSES: tuple[FloatPass, ...] = (
    silence_background,
    shift_box_sizes,
    balance_box_codes,
    center_channels,
    equalize,
    absorb_preprocess,
)
"""All float passes in their order. A recipe switches each of them by its name, but for the last, which
every integer graph needs."""


@dataclass(frozen=True, kw_only=True)
class QuantizableGraph:
    """A float graph after the float passes.

    Attributes:
        source: Graph before the last pass. It takes images as its checkpoint does, and calibration runs it.
        graph: Graph after the last pass, which is quantized. Its input is (pixel - 128) / 128, and its
            outputs are those of `source` but for the outermost rows, as `absorb_preprocess` explains.
    """

    source: FloatGraph
    graph: FloatGraph


def apply_float_passes(graph: FloatGraph, samples: Pixels, wanted: FloatPasses) -> QuantizableGraph:
    """Run the passes that a recipe switches on, and the last.

    Args:
        graph: Graph from `export_float_graph`.
        samples: Calibration images from `draw_samples`.
        wanted: Switches of the recipe.

    Returns:
        Graphs with the same detections. Their anchors and box code may differ from those of `graph`, so
        they come with contracts of their own.

    Raises:
        CalibrationError: A pass needs images and there are none.
        GraphError: A pass doesn't fit the graph.
    """
    observed = ObservedGraph(graph=graph, samples=samples)
    *switched, last = FLOAT_PASSES
    for float_pass in switched:
        if getattr(wanted, float_pass.__name__):
            observed = float_pass(observed)
    return QuantizableGraph(source=observed.graph, graph=last(observed).graph)


def as_quantizable(graph: FloatGraph) -> QuantizableGraph:
    """Run the last pass alone on a graph that the others have changed or must not change."""
    return apply_float_passes(graph, no_samples(graph.contract.preprocess), FloatPasses())
