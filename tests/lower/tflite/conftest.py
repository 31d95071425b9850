"""Quantized detectors that several tests of `lower.tflite` share."""

from __future__ import annotations

from pathlib import Path

import pytest
from tflite_graphs import quant_graph


@pytest.fixture(scope="session")
def small(small_graph, photos, cheap_recipe):
    return quant_graph(small_graph, sorted(photos.iterdir()), cheap_recipe)


@pytest.fixture(scope="session")
def voc(voc_graph, shared: Path, cheap_recipe):
    """The VOC detector, calibrated with the first 24 images of coco128."""
    images = sorted((shared / "data/coco128/images/train2017").iterdir())[:24]
    return quant_graph(voc_graph, images, cheap_recipe)
