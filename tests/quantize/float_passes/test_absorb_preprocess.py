"""The first convolution takes over the preprocessing, and the numbers stay."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from msgspec.structs import replace

from edgessd.calibrate.samples import no_samples
from edgessd.core.contract import Contract, Preprocess
from edgessd.core.errors import GraphError
from edgessd.core.network_tensors import INPUT, image_spec
from edgessd.core.preprocess import preprocess_image
from edgessd.graph.float_graph import FloatGraph
from edgessd.graph.verify import checked, run_model
from edgessd.quantize.float_passes.absorb_preprocess import absorb_preprocess
from edgessd.quantize.float_passes.observed_graph import ObservedGraph


def observed(model: onnx.ModelProto, contract: Contract) -> ObservedGraph:
    """A graph without samples: the pass observes nothing."""
    graph = FloatGraph(model=model, contract=contract)
    return ObservedGraph(graph=graph, samples=no_samples(contract.preprocess))


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
        ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
        ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
        ((128.0, 128.0, 128.0), (128.0, 128.0, 128.0)),
    ],
    ids=["inception", "imagenet", "unit", "already"],
)
@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
def test_absorbed_preprocessing_gives_the_same_numbers_inside(
    small_graph: FloatGraph,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    resize: str,
) -> None:
    preprocess = replace(small_graph.contract.preprocess, mean=mean, std=std, resize=resize)
    contract = replace(small_graph.contract, preprocess=preprocess)
    # The first convolution alone: behind it, its border reaches every value in a few layers.
    model = _up_to(small_graph.model, "backbone.stem.conv")
    absorbed = absorb_preprocess(observed(model, contract)).graph
    assert absorbed.contract.preprocess.mean == absorbed.contract.preprocess.std == (128.0,) * 3
    pixels = np.random.default_rng(2).integers(0, 256, (50, 120, 3), dtype=np.uint8)
    before = run_model(model, {INPUT: _input(pixels, contract.preprocess)})["y"]
    after = run_model(absorbed.model, {INPUT: _input(pixels, absorbed.contract.preprocess)})["y"]
    np.testing.assert_allclose(
        after[:, :, 1:-1, 1:-1], before[:, :, 1:-1, 1:-1], atol=2e-5, rtol=1e-5
    )
    if mean == (128.0,) * 3:
        np.testing.assert_array_equal(after, before)


def test_two_readers_of_the_image_are_refused(small_graph: FloatGraph) -> None:
    model = onnx.parser.parse_model(
        """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[1,3,4,4] image) => (float[1,3,4,4] y)
        <float[3,3,1,1] w = {1,1,1,1,1,1,1,1,1}, float[3] b = {0,0,0}> {
          c = Conv<kernel_shape = [1, 1]>(image, w, b)
          y = Add(c, image)
        }
        """
    )
    with pytest.raises(GraphError, match="one Conv"):
        absorb_preprocess(observed(model, small_graph.contract))


def _up_to(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """The graph's start, whose output `name` becomes `y`."""
    cut = onnx.utils.Extractor(model).extract_model([INPUT], [name])
    for node in cut.graph.node:
        node.output[:] = ["y" if output == name else output for output in node.output]
    cut.graph.output[0].name = "y"
    return checked(cut, after="cutting")


def _input(pixels: np.ndarray, preprocess: Preprocess) -> np.ndarray:
    return preprocess_image(pixels, preprocess, image_spec(preprocess))[0]


def test_contract_keeps_everything_else(small_graph: FloatGraph) -> None:
    contract: Contract = small_graph.contract
    absorbed = absorb_preprocess(observed(small_graph.model, contract)).graph.contract
    same = replace(absorbed, preprocess=contract.preprocess)
    assert same == contract
