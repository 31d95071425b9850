"""The inner tensors of compared models, where this machine can look into them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgessd.bench.comparison import Image
    from edgessd.bench.report.comparison_page import LayerColumn
    from edgessd.build.layer_comparison import LayerProbe

IMAGES = 4
"""Each tensor has thousands of values an image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedLayers:
    """What `compare_layers` found.

    Attributes:
        columns: By path as given: `first`, `below_db`, `images` and `layers`, tensor to dB.
        notes: Which model can't be looked into, and why.
    """

    columns: dict[str, dict[str, Any]]
    notes: tuple[str, ...]

    def for_page(self) -> dict[str, LayerColumn]:
        """The same for the HTML report."""
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
    """Compare inner tensors with the reference's, over a few images that can be read.

    Where a model can't be looked into, or this machine has no onnx, the notes say so.
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


def _against(reference: LayerProbe, path: str, images: Sequence[Image]) -> dict[str, Any] | str:
    """One model's layers, or why it can't be looked into."""
    from edgessd.build.layer_comparison import measure_divergence, open_layer_probe
    from edgessd.core.errors import GraphError

    try:
        return measure_divergence(reference, open_layer_probe(Path(path)), images).as_json()
    except GraphError as error:
        return error.paragraph()
