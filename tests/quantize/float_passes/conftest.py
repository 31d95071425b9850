"""A float graph whose channels and box codes are uneven, and images to observe it on."""

from __future__ import annotations

import numpy as np
import pytest

from edgessd.calibrate.calibration_set import Pixels
from edgessd.graph.float_graph import FloatGraph
from edgessd.graph.view import GraphView, copy_of, set_initializer
from edgessd.quantize.float_passes.head_convs import head_convs


@pytest.fixture(scope="package")
def samples(small_graph: FloatGraph) -> Pixels:
    """Eight smooth images at the network's size."""
    import cv2

    random = np.random.default_rng(5)
    spec = small_graph.contract.preprocess
    coarse = random.integers(0, 256, (8, 9, 12, 3), dtype=np.uint8)
    planes = [cv2.resize(image, (spec.width, spec.height)).transpose(2, 0, 1) for image in coarse]
    return np.stack(planes)


@pytest.fixture(scope="package")
def uneven(small_graph: FloatGraph) -> FloatGraph:
    """The small graph with sizes of boxes eight times what they were, and one channel a tenth."""
    model, view = copy_of(small_graph.model), GraphView(small_graph.model)
    for head in head_convs(view, "box_codes"):
        for name in head.input[1:]:
            values = np.array(view.constant(name))
            values.reshape(-1, 4, *values.shape[1:])[:, 2:] *= 8
            set_initializer(model, name, values)
    for suffix in ("weight", "bias"):
        name = f"backbone.blocks.3.expand.conv.{suffix}"
        values = np.array(view.constant(name))
        values[2] *= 0.1
        set_initializer(model, name, values)
    return FloatGraph(model=model, contract=small_graph.contract)
