"""The network that rounds in training: where it rounds, what it computes, what it learns from."""

from __future__ import annotations

import copy

import numpy as np
import onnx
import pytest
import torch

from edgessd.bundle.manifest import CalibrationRecord
from edgessd.bundle.quality import CalibrationAudit
from edgessd.core.errors import ConfigError
from edgessd.core.network_tensors import INPUT
from edgessd.graph.float_graph import FloatGraph
from edgessd.graph.verify import run_model
from edgessd.graph.view import GraphView, copy_of
from edgessd.model.trained_ranges import TrainedRanges
from edgessd.quantize.qat.network import QatNetwork
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
def test_outputs_are_those_of_the_quantized_graph(
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
