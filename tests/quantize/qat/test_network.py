"""The network that rounds in training: where it rounds, what it computes, what it learns from."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from msgspec.structs import replace

from edgessd.bundle.manifest import CalibrationRecord
from edgessd.bundle.quality import CalibrationAudit
from edgessd.calibrate.calibration_set import CalibrationSet
from edgessd.calibrate.collect import collect
from edgessd.core.errors import ConfigError, GraphError
from edgessd.core.network_tensors import INPUT
from edgessd.graph.float_graph import FloatGraph, load_graph, save_graph
from edgessd.graph.verify import checked, run_model
from edgessd.graph.view import GraphView, copy_of, set_initializer
from edgessd.model.trained_ranges import TrainedRanges
from edgessd.quantize.float_passes.apply import as_quantizable
from edgessd.quantize.ptq import quantize
from edgessd.quantize.qat.network import QatNetwork
from edgessd.quantize.qat.trained import quantize_trained
from edgessd.quantize.qdq.quant_graph import QuantGraph
from edgessd.quantize.recipe import Exemption, Recipe, load_recipe
from edgessd.quantize.schemes import SCHEMES, SchemeName

STEM = "backbone.stem.activation"

RECIPE = Recipe(
    name="with a float tensor in one scheme",
    activations=load_recipe("default").activations,
    exemptions=(
        Exemption(tensors=("box_codes", "class_scores", STEM), keep_float=True, scheme="symmetric"),
    ),
)

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


@pytest.fixture(scope="module")
def absorbed(small_graph: FloatGraph) -> FloatGraph:
    return as_quantizable(small_graph).graph


@pytest.fixture(scope="module")
def graphs(
    small_graph: FloatGraph, tmp_path_factory: pytest.TempPathFactory
) -> dict[SchemeName, QuantGraph]:
    import cv2

    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for index in range(16):
        image = random.integers(0, 256, (8, 12, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{index:02}.png"), cv2.resize(image, (97, 64)))
    table = collect(small_graph, CalibrationSet(folder.iterdir()))
    graph = as_quantizable(small_graph)
    return {name: quantize(graph, table, scheme=name, recipe=RECIPE) for name in SCHEMES}


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
def test_it_answers_as_the_quantized_graph_does(
    absorbed: FloatGraph, graphs: dict[SchemeName, QuantGraph], scheme: SchemeName
) -> None:
    _assert_same_integers(QatNetwork(absorbed, [graphs[scheme]]), graphs[scheme], _image(1))


def test_without_rounding_it_is_the_float_graph(
    absorbed: FloatGraph, graphs: dict[SchemeName, QuantGraph]
) -> None:
    network = QatNetwork(absorbed, list(graphs.values()))
    network.judged = None
    image = _image(2)
    found = _run(network, image)
    for name, values in run_model(absorbed.model, {INPUT: image}).items():
        np.testing.assert_allclose(found[name], values, atol=1e-4)


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_it_rounds_where_the_graph_has_its_pairs_and_nowhere_else(
    absorbed: FloatGraph, graphs: dict[SchemeName, QuantGraph], scheme: SchemeName
) -> None:
    sites = QatNetwork(absorbed, [graphs[scheme]]).sites[scheme]
    view = GraphView(graphs[scheme].model)
    pairs = {
        node.name.removesuffix(".q"): node.input[1].removesuffix(".scale")
        for node in graphs[scheme].model.graph.node
        if node.op_type == "QuantizeLinear"
    }
    moved = {
        node.name.removesuffix(".q")
        for node in graphs[scheme].model.graph.node
        if node.op_type == "QuantizeLinear"
        and (producer := view.producer(node.input[0])) is not None
        and producer.op_type in ("Transpose", "Reshape", "Concat")
    }
    assert moved or scheme == "symmetric"
    assert sites.activations == {name: pairs[name] for name in pairs.keys() - moved}
    float_inputs = {STEM} if scheme == "symmetric" else set()
    assert sites.convolutions == {
        node.name
        for node in absorbed.model.graph.node
        if node.op_type == "Conv" and node.input[0] not in float_inputs
    }
    assert STEM in pairs or scheme == "symmetric"
    skips = [name for name in sites.activations if name.endswith(".project.conv")]
    adds = sum(node.op_type == "Add" for node in absorbed.model.graph.node)
    projections = sum(node.name.endswith(".project.conv") for node in absorbed.model.graph.node)
    assert len(skips) == projections - (adds if scheme == "symmetric" else 0)


def test_training_takes_the_schemes_in_turns_and_a_copy_goes_on_where_it_was(
    absorbed: FloatGraph, graphs: dict[SchemeName, QuantGraph]
) -> None:
    network = QatNetwork(absorbed, list(graphs.values())).train()
    image = torch.from_numpy(_image(3))
    first, second, third = (network(image)[0].detach() for _ in range(3))
    assert torch.equal(first, third)
    assert not torch.equal(first, second)
    resumed = QatNetwork(absorbed, list(graphs.values())).train()
    resumed.load_state_dict(network.state_dict())
    assert torch.equal(resumed(image)[0], second)


def test_every_weight_and_every_range_gets_a_gradient(
    absorbed: FloatGraph, graphs: dict[SchemeName, QuantGraph]
) -> None:
    network = QatNetwork(absorbed, [graphs["affine"]]).train()
    boxes, scores = network(torch.from_numpy(_image(4)))
    (boxes.square().sum() + scores.square().sum()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    assert network.high_stretch.grad.ne(0).float().mean() > 0.9
    from_zero = network.low_start == 0
    assert from_zero.any()
    assert (network.low_stretch.grad[from_zero] == 0).all()
    assert network.low_stretch.grad[~from_zero].ne(0).float().mean() > 0.9


def test_ranges_and_weights_learn(
    absorbed: FloatGraph, graphs: dict[SchemeName, QuantGraph]
) -> None:
    """Ranges ten times too wide cost most of the steps; a few updates win a third of it back."""
    network = QatNetwork(absorbed, [graphs["affine"]])
    teacher = copy.deepcopy(network).eval()
    teacher.judged = None
    network.high_start *= 10
    network.low_start *= 10
    image = torch.from_numpy(np.concatenate([_image(seed) for seed in range(4)]))
    with torch.no_grad():
        wanted = torch.cat([part.flatten() for part in teacher(image)])
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    losses = []
    for _ in range(12):
        answer = torch.cat([part.flatten() for part in network.train()(image)])
        loss = (answer - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert min(losses[-3:]) < 0.75 * losses[0]
    assert network.high_stretch.mean() < 0.98


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_what_was_trained_is_what_is_built(
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
    built = quantize_trained(as_quantizable(loaded), scheme=scheme, recipe=RECIPE)
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


def test_a_build_for_what_it_was_not_trained_for_is_refused(
    absorbed: FloatGraph, graphs: dict[SchemeName, QuantGraph]
) -> None:
    trained = _trained(QatNetwork(absorbed, [graphs["symmetric"]]), absorbed)
    with pytest.raises(GraphError, match="another quantization scheme than affine"):
        quantize_trained(as_quantizable(trained), scheme="affine", recipe=RECIPE)
    with pytest.raises(GraphError, match="box_codes"):
        quantize_trained(
            as_quantizable(trained), scheme="symmetric", recipe=replace(RECIPE, exemptions=())
        )
    with pytest.raises(GraphError, match="no trained ranges"):
        quantize_trained(as_quantizable(absorbed), scheme="affine", recipe=RECIPE)


def test_it_starts_from_weights_that_another_method_rounded(
    absorbed: FloatGraph, graphs: dict[SchemeName, QuantGraph]
) -> None:
    network = QatNetwork(absorbed, [graphs["affine"]])
    network.start_from(graphs["affine"])
    view = GraphView(graphs["affine"].model)
    name = "backbone.blocks.3.expand.conv"
    weight = network.state_of_float()[f"{name}.weight"].numpy()
    integers = view.constant(f"{name}.weight.quantized").astype(np.float32)
    scales = np.asarray(view.constant(f"{name}.weight.scale"), np.float32)
    np.testing.assert_allclose(weight, integers * scales[:, None, None, None], rtol=1e-5, atol=1e-9)


def test_an_operation_that_cannot_be_trained_is_named(
    absorbed: FloatGraph, graphs: dict[SchemeName, QuantGraph]
) -> None:
    model = copy_of(absorbed.model)
    next(node for node in model.graph.node if node.op_type == "Clip").op_type = "Sigmoid"
    with pytest.raises(GraphError, match=r"Sigmoid 'backbone\.stem\.activation'"):
        QatNetwork(FloatGraph(model=model, contract=absorbed.contract), list(graphs.values()))


@pytest.mark.parametrize("limits", [(0.5, 1.0), (-1.0, -0.5), (-1.0, float("nan"))])
def test_ranges_that_cannot_be_are_refused(limits: tuple[float, float]) -> None:
    record = CalibrationRecord(recipe="test", images=16, images_sha256="0" * 64)
    with pytest.raises(ConfigError, match="stem"):
        TrainedRanges(schemes=("affine",), ranges={"stem": limits}, calibration=record, audit=AUDIT)
    with pytest.raises(ConfigError, match="empty"):
        TrainedRanges(schemes=("affine",), ranges={}, calibration=record, audit=AUDIT)


def test_the_model_is_left_alone(
    absorbed: FloatGraph, graphs: dict[SchemeName, QuantGraph]
) -> None:
    before = absorbed.model.SerializeToString(deterministic=True)
    network = QatNetwork(absorbed, list(graphs.values())).train()
    network(torch.from_numpy(_image(6)))
    assert absorbed.model.SerializeToString(deterministic=True) == before
    assert isinstance(absorbed.model, onnx.ModelProto)
