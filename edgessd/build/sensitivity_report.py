"""Rank the tensors of a quantized detector by the error that quantizing each of them causes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgessd.build.layer_comparison import measure_divergence, probe_graph, readable_images
from edgessd.calibrate.calibration_set import CalibrationSet, evenly
from edgessd.calibrate.samples import draw_samples
from edgessd.graph.export import export_float_graph
from edgessd.model.checkpoint import load_checkpoint
from edgessd.quantize.analysis.sensitivity import Sensitivity, measure_sensitivity
from edgessd.quantize.recipe import Recipe
from edgessd.quantize.schemes import SchemeName
from edgessd.quantize.workflow import quantize_graph

_PROBED_IMAGES = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class SensitivityReport:
    """Result of `edgessd sensitivity`.

    Attributes:
        checkpoint: Path of the checkpoint.
        scheme: Quantization scheme.
        recipe: Name of the recipe.
        sensitivity: Errors with each tensor quantized alone.
        sqnr_db: Signal-to-noise ratio in dB of each tensor in the graph with all tensors quantized.
        saturation: Fraction of each tensor's values beyond its range; empty for ranges that were
            learned in training, which no calibration table belongs to.
    """

    checkpoint: str
    scheme: SchemeName
    recipe: str
    sensitivity: Sensitivity
    sqnr_db: dict[str, float]
    saturation: dict[str, float]

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per tensor or convolution, in descending order of its share."""
        return [
            {
                **asdict(loss),
                "sqnr_db": self.sqnr_db.get(loss.name) if loss.kind == "activation" else None,
                "saturation": self.saturation.get(loss.name) if loss.kind == "activation" else None,
            }
            for loss in self.sensitivity.losses
        ]

    def as_json(self) -> dict[str, Any]:
        """Return the numbers as plain values."""
        return {
            "checkpoint": self.checkpoint,
            "scheme": self.scheme,
            "recipe": self.recipe,
            "images": self.sensitivity.images,
            "anchors": self.sensitivity.anchors,
            "score_error": self.sensitivity.score_error,
            "box_error": self.sensitivity.box_error,
            "tensors": self.rows(),
        }


def report_sensitivity(
    checkpoint: Path,
    images: CalibrationSet,
    *,
    scheme: SchemeName,
    recipe: Recipe,
    count: int,
    cache: Path | None,
    progress: Callable[[int, int], None] | None = None,
) -> SensitivityReport:
    """Quantize as a build does, then measure each tensor.

    Args:
        checkpoint: File of the detector.
        images: Calibration images.
        scheme: Scheme of the target.
        recipe: Quantization settings.
        count: Number of calibration images to measure on.
        cache: Folder of rewritten graphs and calibration tables; None keeps none.
        progress: Function called with (done, total) after each tensor.

    Raises:
        EdgessdError: A stage refuses its input.
    """
    images.keep(evenly(images.paths, _PROBED_IMAGES))
    exported = export_float_graph(load_checkpoint(checkpoint))
    found = quantize_graph(exported, images, recipe=recipe, schemes=(scheme,), cache=cache)
    floating, quantized = found.graph.graph, found.quantized[scheme]
    sensitivity = measure_sensitivity(
        floating.model,
        quantized.model,
        floating.contract,
        draw_samples(images, floating.contract, count=count),
        progress,
    )
    divergence = measure_divergence(
        probe_graph(exported.model, exported.contract),
        probe_graph(quantized.model, quantized.contract),
        readable_images(images.paths, _PROBED_IMAGES, images.photo),
    )
    return SensitivityReport(
        checkpoint=str(checkpoint),
        scheme=scheme,
        recipe=recipe.name,
        sensitivity=sensitivity,
        sqnr_db={layer.tensor: layer.sqnr_db for layer in divergence.layers},
        saturation=dict(found.saturation.get(scheme, {})),
    )
