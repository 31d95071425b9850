"""Quantized detectors that several tests of `lower.tflite` share."""

from __future__ import annotations

from pathlib import Path

import pytest
from tflite_graphs import quant_graph


@pytest.fixture(scope="session")
def small(small_graph, photos):
    return quant_graph(small_graph, sorted(photos.iterdir()))


@pytest.fixture(scope="session")
def voc(shared: Path):
    """The VOC detector, calibrated with the first 24 images of coco128."""
    from edgessd.graph.export import export_float_graph
    from edgessd.model.importers.folded import import_folded

    float_graph = export_float_graph(import_folded(shared / "weights/ssdlite_mobilenet_v2_voc"))
    return quant_graph(
        float_graph, sorted((shared / "data/coco128/images/train2017").iterdir())[:24]
    )
