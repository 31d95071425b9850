"""Refuse an image that isn't quantized as pixel - 128."""

from __future__ import annotations

import numpy as np
import pytest

from edgessd.core.errors import LoweringError
from edgessd.graph.view import copy_of, set_initializer
from edgessd.lower.tensorrt.lower import lower_to_tensorrt
from edgessd.quantize.qdq import names
from edgessd.quantize.qdq.quant_graph import QuantGraph


def test_an_image_quantized_in_another_way_is_refused(graph: QuantGraph) -> None:
    model = copy_of(graph.model)
    set_initializer(model, names.scale("image"), np.array(1 / 64, np.float32))
    bad = QuantGraph(model=model, contract=graph.contract, quantization=graph.quantization)
    with pytest.raises(LoweringError, match=r"isn't quantized as pixel - 128.*0.015625"):
        lower_to_tensorrt(bad)
