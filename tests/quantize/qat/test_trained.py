"""A trained graph is built with the weights and ranges of its training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from msgspec.structs import replace
from qat_comparison import AUDIT, assert_same_integers, image_input

from edgessd.bundle.manifest import CalibrationRecord
from edgessd.core.errors import GraphError
from edgessd.graph.float_graph import FloatGraph, load_graph, save_graph
from edgessd.graph.verify import checked
from edgessd.graph.view import copy_of, set_initializer
from edgessd.model.trained_ranges import TrainedRanges
from edgessd.quantize.float_passes.apply import as_quantizable
from edgessd.quantize.qat.network import QatNetwork
from edgessd.quantize.qat.trained import quantize_trained
from edgessd.quantize.qdq.quant_graph import QuantGraph
from edgessd.quantize.schemes import SCHEMES, SchemeName


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_the_built_graph_has_the_trained_integers(
    absorbed: FloatGraph, graphs: dict[SchemeName, QuantGraph], scheme: SchemeName, tmp_path: Path
) -> None:
    network = QatNetwork(absorbed, list(graphs.values()))
    with torch.no_grad():  # as a training would: every weight, bias and range moves a little
        generator = torch.Generator().manual_seed(0)
        for parameter in network.parameters():
            parameter.mul_(1 + 0.05 * torch.randn(parameter.shape, generator=generator))
    trained = _trained(network, absorbed)
    save_graph(trained, tmp_path / "trained.onnx")
    loaded = load_graph(tmp_path / "trained.onnx")
    assert loaded.trained_ranges == trained.trained_ranges
    built = quantize_trained(
        as_quantizable(loaded), scheme=scheme, recipe=graphs["symmetric"].recipe
    )
    assert_same_integers(network, built, image_input(5))
    assert [node.op_type for node in built.model.graph.node] == [
        node.op_type for node in graphs[scheme].model.graph.node
    ]
    assert built.quantization.calibration.images == 16


def _trained(network: QatNetwork, absorbed: FloatGraph) -> FloatGraph:
    model = copy_of(absorbed.model)
    for name, values in network.state_of_float().items():
        set_initializer(model, name, values.numpy())
    return FloatGraph(
        model=checked(model, after="training"),
        contract=absorbed.contract,
        trained_ranges=TrainedRanges(
            schemes=network.schemes,
            ranges=network.ranges(),
            calibration=CalibrationRecord(recipe="test", images=16, images_sha256="0" * 64),
            audit=AUDIT,
        ),
    )


def test_a_scheme_or_tensor_without_training_is_refused(
    absorbed: FloatGraph, graphs: dict[SchemeName, QuantGraph]
) -> None:
    recipe = graphs["symmetric"].recipe
    trained = as_quantizable(_trained(QatNetwork(absorbed, [graphs["symmetric"]]), absorbed))
    with pytest.raises(GraphError, match="another quantization scheme than affine"):
        quantize_trained(trained, scheme="affine", recipe=recipe)
    with pytest.raises(GraphError, match="box_codes"):
        quantize_trained(trained, scheme="symmetric", recipe=replace(recipe, exemptions=()))
    with pytest.raises(GraphError, match="no trained ranges"):
        quantize_trained(as_quantizable(absorbed), scheme="affine", recipe=recipe)
