"""Float graph → a float graph that answers the same and quantizes better.

It runs before calibration and knows no scheme: one prepared graph and one table serve every target.
"""

from __future__ import annotations

from msgspec.structs import replace

from edgessd.calibrate.calibration_set import Pixels
from edgessd.calibrate.channels import collect_channels
from edgessd.core.errors import CalibrationError
from edgessd.graph.float_graph import FloatGraph
from edgessd.quantize.float_passes.balance_box_codes import balance_box_codes
from edgessd.quantize.float_passes.center_channels import center_channels
from edgessd.quantize.float_passes.equalize import equalize
from edgessd.quantize.float_passes.shift_box_sizes import shift_box_sizes
from edgessd.quantize.float_passes.silence_background import silence_background
from edgessd.quantize.recipe import FloatPasses


def apply_float_passes(graph: FloatGraph, samples: Pixels, wanted: FloatPasses) -> FloatGraph:
    """Apply the passes that a recipe wants.

    Args:
        graph: From `export_float_graph`.
        samples: From `draw_samples`, a few calibration images.
        wanted: Of the recipe.

    Returns:
        A graph with the same detections; its anchors and box code may differ, so it comes with a
        contract of its own. The graph itself where nothing is wanted.

    Raises:
        CalibrationError: A pass needs images and there are none.
    """
    if wanted.silence_background:
        graph = silence_background(graph)
    if replace(wanted, silence_background=False) == FloatPasses():
        return graph
    if not len(samples):
        raise CalibrationError(
            "The recipe prepares the graph on calibration images, and none could be read",
            fix="Give a folder of images, or a recipe without a [float_passes] section.",
        )
    channels = collect_channels(graph, samples)
    if wanted.shift_box_sizes:
        graph, channels = shift_box_sizes(graph, channels)
    if wanted.balance_box_codes:
        graph = balance_box_codes(graph, channels)
    if wanted.center_channels:
        graph, channels = center_channels(graph, channels)
    if wanted.equalize:
        graph = equalize(graph, channels)
    return graph
