"""A trained graph is built with the weights and ranges of its training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from msgspec.structs import replace

from edgessd.bundle.manifest import CalibrationRecord
from edgessd.bundle.quality import CalibrationAudit
from edgessd.core.errors import GraphError
from edgessd.core.network_tensors import INPUT
from edgessd.graph.float_graph import FloatGraph, load_graph, save_graph
from edgessd.graph.verify import checked, run_model
from edgessd.graph.view import GraphView, copy_of, set_initializer
from edgessd.model.trained_ranges import TrainedRanges
from edgessd.quantize.float_passes.apply import as_quantizable
from edgessd.quantize.qat.network import QatNetwork
from edgessd.quantize.qat.trained import quantize_trained
from edgessd.quantize.qdq.quant_graph import QuantGraph
from edgessd.quantize.schemes import SCHEMES, SchemeName

AUDIT = CalibrationAudit(
    images=16,
    unreadable=0,
    distinct=16,
    leaked=0,
    compared_with="",
    classes_unseen=(),
    mean_range_shift=0.01,
    worst_range_shift=0.02,
    worst_range_shift_tensor="stem",
    worst_saturation=None,
    worst_saturation_tensor="",
    warnings=("Only 16 different calibration images",),
)


def _image(seed: int) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, (1, 3, 64, 97))
    return ((pixels - 128) / 128).astype(np.float32)


def _run(network: QatNetwork, image: np.ndarray) -> dict[str, np.ndarray]:
    with torch.no_grad():
        outputs = network.eval()(torch.from_numpy(image))
    return dict(zip(("box_codes", "class_scores"), (o.numpy() for o in outputs), strict=True))


def _assert_same_integers(network: QatNetwork, built: QuantGraph, image: np.ndarray) -> None:
    """Tensor by tensor, in steps; what float32 sums in another order lands one step off now and then.

    That spreads in an untrained network (0.001 of the first tensor, 0.02 of the third), so only the first
    are held to it; the outputs are held to less than what rounding did to them.
    """
    network.judged = built.scheme
    sites, view = network.sites[built.scheme], GraphView(built.model)
    names = [name for name in sites.activations if name.startswith("backbone.blocks")][:3]
    model = copy_of(built.model)
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(f"{name}.dequantized", onnx.TensorProto.FLOAT, None)
        for name in names
    )
    expected = run_model(model, {INPUT: image})
    with torch.no_grad():
        found = network.eval().tensors(torch.from_numpy(image), names)
    for name in names:
        scale = float(view.constant(f"{sites.activations[name]}.scale").item())
        steps = np.abs(found[name].numpy() - expected[f"{name}.dequantized"]) / scale
        assert (steps > 0.5).mean() < 0.05, name
        assert steps.max() < 3.5, name
    network.judged = None
    exact = _run(network, image)
    network.judged = built.scheme
    for name, values in _run(network, image).items():
        lost = np.abs(exact[name] - expected[name]).mean()
        assert np.abs(values - expected[name]).mean() < 0.8 * lost, name


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
    _assert_same_integers(network, built, _image(5))
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
