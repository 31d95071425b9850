"""Compare the inner tensors of models, if this machine can read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgessd.bench.report.comparison_page import LayerColumn
    from edgessd.build.layer_comparison import LayerProbe
    from edgessd.core.arrays import ImageArray

IMAGES = 4
"""Number of images compared; each tensor has thousands of values an image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedLayers:
    """Result of `compare_layers`.

    Attributes:
        columns: `Divergence.as_json` of each model, by path as the user gave it.
        notes: Reason for each model whose inner tensors can't be read.
    """

    columns: dict[str, dict[str, Any]]
    notes: tuple[str, ...]

    def for_page(self) -> dict[str, LayerColumn]:
        """Convert the columns for the HTML report."""
        from edgessd.bench.report.comparison_page import LayerColumn

        return {
            path: LayerColumn(
                decibels=column["layers"],
                first=column["first"],
                images=column["images"],
                below_db=column["below_db"],
            )
            for path, column in self.columns.items()
        }


def compare_layers(reference: str, others: Sequence[str], images: Sequence[Path]) -> ComparedLayers:
    """Compare inner tensors with the reference's, on a few images that can be read.

    A model whose inner tensors can't be read, or a machine without onnx, gives a note instead.
    """
    if find_spec("onnx") is None:
        note = "Inner tensors aren't compared: that needs onnx (pip install 'edgessd[host]')"
        return ComparedLayers(columns={}, notes=(note,))
    from edgessd.build.layer_comparison import open_layer_probe, readable_images
    from edgessd.core.errors import GraphError

    chosen = readable_images(images, IMAGES)
    try:
        first = open_layer_probe(Path(reference))
    except GraphError as error:
        return ComparedLayers(columns={}, notes=(error.paragraph(),))
    columns: dict[str, dict[str, Any]] = {}
    notes: list[str] = []
    for path in others:
        outcome = _against(first, path, chosen)
        if isinstance(outcome, str):
            notes.append(outcome)
        else:
            columns[path] = outcome
    return ComparedLayers(columns=columns, notes=tuple(notes))


def _against(
    reference: LayerProbe, path: str, images: Sequence[ImageArray]
) -> dict[str, Any] | str:
    """Compare one model's inner tensors, or return the reason why they can't be read."""
    from edgessd.build.layer_comparison import measure_divergence, open_layer_probe
    from edgessd.core.errors import GraphError

    try:
        return measure_divergence(reference, open_layer_probe(Path(path)), images).as_json()
    except GraphError as error:
        return error.paragraph()
