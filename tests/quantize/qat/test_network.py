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
from edgessd.core.tensors import QuantParams
from edgessd.graph.float_graph import FloatGraph, load_graph, save_graph
from edgessd.graph.verify import checked, run_model
from edgessd.graph.view import GraphView, copy_of, set_initializer
from edgessd.model.trained_ranges import TrainedRanges
from edgessd.quantize.float_passes.apply import as_quantizable
from edgessd.quantize.ptq import quantize
from edgessd.quantize.qat.fake_quantize import (
    FakeParams,
    activation_params,
    fake_quantize,
    fake_quantize_weight,
    settled_weight,
)
from edgessd.quantize.qat.network import QatNetwork
from edgessd.quantize.qat.trained import quantize_trained
from edgessd.quantize.qdq.quant_graph import QuantGraph
from edgessd.quantize.qparams import dequantize_weight, quantize_weight, weight_scales
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


def _params(scale: float, zero_point: int) -> FakeParams:
    return FakeParams(
        scale=torch.tensor(scale, requires_grad=True),
        zero_point=torch.tensor(float(zero_point), requires_grad=True),
        current=QuantParams(scale=scale, zero_point=zero_point),
    )


def test_rounding_forward_by_hand() -> None:
    """Scale 0.5, zero point -128: 0 to 127.5, ties to the even integer, saturating."""
    x = torch.tensor([-3.0, 0.2, 0.25, 0.75, 1.0, 127.4, 127.6, 900.0])
    expected = torch.tensor([0.0, 0.0, 0.0, 1.0, 1.0, 127.5, 127.5, 127.5])
    assert torch.equal(fake_quantize(x, _params(0.5, -128)), expected)
    with torch.no_grad():
        assert torch.equal(fake_quantize(x, _params(0.5, -128)), expected)
    assert x[0] == -3  # not in place


def test_gradients_of_rounding_by_hand() -> None:
    params = _params(0.5, -128)
    x = torch.tensor([-3.0, 0.6, 900.0], requires_grad=True)
    fake_quantize(x, params).backward(torch.tensor([1.0, 10.0, 100.0]))
    assert x.grad.tolist() == [0.0, 10.0, 0.0]
    # Inside 10 * (0.5 - 0.6) / 0.5, above 100 * 255, below 1 * 0.
    assert params.scale.grad.item() == pytest.approx(-2 + 25500)
    # Outside -0.5 each.
    assert params.zero_point.grad.item() == pytest.approx(-0.5 * 101)


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_scales_are_those_of_the_scheme(scheme: SchemeName) -> None:
    low = torch.tensor([-1.25, 0.0, -3.0, -7e-4, 0.0])
    high = torch.tensor([4.0, 6.0, 0.5, 1e-3, 0.0])
    scales, zero_points = activation_params(low, high, SCHEMES[scheme])
    for index, limits in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
        params = SCHEMES[scheme].params(*limits)
        assert scales[index].item() == pytest.approx(params.scale, rel=1e-6)
        assert zero_points[index].item() == params.zero_point


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_weights_are_rounded_as_they_will_be_stored(scheme: SchemeName) -> None:
    weight = np.random.default_rng(0).normal(size=(6, 4, 3, 3)).astype(np.float32)
    weight *= np.array([1, 1e-2, 1e-4, 1e-6, 30, 0], np.float32)[:, None, None, None]
    params = weight_scales(
        np.abs(weight.reshape(6, -1)).max(1), float16=SCHEMES[scheme].float16_parameters
    )
    expected = dequantize_weight(quantize_weight(weight, params), params)
    tensor = torch.from_numpy(weight).requires_grad_()
    found = fake_quantize_weight(tensor, SCHEMES[scheme])
    steps = np.abs(found.detach().numpy() - expected) / params[:, None, None, None]
    assert steps.max() < 1.01
    assert (steps > 0.01).mean() < 0.01  # ties that a float32 quotient decides otherwise
    found.sum().backward()
    assert (tensor.grad == 1).all()


@pytest.mark.parametrize("names", [("affine",), ("symmetric",), ("affine", "symmetric")])
def test_settled_weights_are_rounded_to_the_same_integers(names: tuple[SchemeName, ...]) -> None:
    """Also where float16 scales are coarse: the last channel's step is 1.3 times the least float16."""
    random = np.random.default_rng(0)
    weight = torch.from_numpy(random.normal(size=(5, 8, 3, 3)).astype(np.float32))
    weight *= torch.tensor([1, 1e-2, 3e-4, 1e-5, 4e-6]).view(-1, 1, 1, 1)
    schemes = [SCHEMES[name] for name in names]
    settled = settled_weight(weight, schemes)
    for scheme in schemes:
        before, after = (fake_quantize_weight(w, scheme) for w in (weight, settled))
        torch.testing.assert_close(after, before, rtol=1e-6, atol=0)
        nearer = (settled - after).abs().mean((1, 2, 3)) / (weight - before).abs().mean((1, 2, 3))
        assert (nearer[:2] < 0.05).all()
        assert (nearer < (0.05 if len(names) == 1 else 1.001)).all()


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
