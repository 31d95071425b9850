"""Float passes change weights and the contract, and never the detections."""

from __future__ import annotations

import numpy as np
import pytest

from edgessd.calibrate.calibration_set import Pixels
from edgessd.calibrate.samples import network_input, no_samples
from edgessd.core.anchors import anchor_boxes
from edgessd.core.decode import decode_boxes
from edgessd.core.errors import CalibrationError
from edgessd.core.network_tensors import INPUT
from edgessd.graph.float_graph import FloatGraph
from edgessd.graph.verify import run_model
from edgessd.quantize.float_passes.apply import (
    FLOAT_PASSES,
    apply_float_passes,
    as_quantizable,
)
from edgessd.quantize.recipe import FloatPasses

pytestmark = pytest.mark.slow

EVERYTHING = FloatPasses(
    **dict.fromkeys(FloatPasses.__struct_fields__, True)  # type: ignore[arg-type]
)


def outputs(graph: FloatGraph, pixels: Pixels) -> dict[str, np.ndarray]:
    return run_model(graph.model, {INPUT: network_input(pixels, graph.contract.preprocess)})


def boxes(graph: FloatGraph, codes: np.ndarray) -> np.ndarray:
    """Decode with the graph's own anchors and variances, which passes may change."""
    anchors = anchor_boxes(graph.contract.anchors)
    return decode_boxes(codes[0], anchors, graph.contract.box_code)


def test_a_recipe_switches_every_pass_but_the_last() -> None:
    names = [float_pass.__name__ for float_pass in FLOAT_PASSES]
    assert names[:-1] == list(FloatPasses.__struct_fields__)
    assert names[-1] == "absorb_preprocess"


def test_all_passes_together_keep_scores_and_boxes(uneven: FloatGraph, samples: Pixels) -> None:
    found = apply_float_passes(uneven, samples, EVERYTHING).source
    assert found.sha256 != uneven.sha256
    for pixels in samples:
        before, after = outputs(uneven, pixels), outputs(found, pixels)
        np.testing.assert_allclose(
            after["class_scores"], before["class_scores"], atol=2e-4, rtol=1e-4
        )
        np.testing.assert_allclose(
            boxes(found, after["box_codes"]),
            boxes(uneven, before["box_codes"]),
            atol=1e-4,
            rtol=1e-3,
        )


def test_without_switches_only_the_preprocessing_is_absorbed(small_graph: FloatGraph) -> None:
    found = as_quantizable(small_graph)
    assert found.source is small_graph
    assert found.graph.contract.preprocess.mean == found.graph.contract.preprocess.std == (128,) * 3
    again = as_quantizable(found.graph)
    assert again.graph.sha256 == found.graph.sha256


def test_passes_that_need_images_refuse_to_go_without(small_graph: FloatGraph) -> None:
    none = no_samples(small_graph.contract.preprocess)
    with pytest.raises(CalibrationError, match="none could be read"):
        apply_float_passes(small_graph, none, EVERYTHING)
    silent = FloatPasses(silence_background=True)
    assert apply_float_passes(small_graph, none, silent).source is small_graph
