"""The network that rounds in training: where it rounds, what it computes, what it learns from."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from qat_comparison import assert_same_integers, image_input, run_network

from edgessd.core.network_tensors import INPUT
from edgessd.graph.float_graph import FloatGraph
from edgessd.graph.verify import run_model
from edgessd.graph.view import GraphView
from edgessd.quantize.qat.network import QatNetwork
from edgessd.quantize.qdq import names
from edgessd.quantize.qdq.quant_graph import QuantGraph
from edgessd.quantize.schemes import SCHEMES, SchemeName

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_outputs_are_those_of_the_quantized_graph(
    absorbed: FloatGraph, graphs: dict[SchemeName, QuantGraph], scheme: SchemeName
) -> None:
    assert_same_integers(QatNetwork(absorbed, [graphs[scheme]]), graphs[scheme], image_input(1))


def test_without_rounding_it_is_the_float_graph(
    absorbed: FloatGraph, graphs: dict[SchemeName, QuantGraph]
) -> None:
    network = QatNetwork(absorbed, list(graphs.values()))
    network.judged = None
    image = image_input(2)
    found = run_network(network, image)
    for name, values in run_model(absorbed.model, {INPUT: image}).items():
        np.testing.assert_allclose(found[name], values, atol=1e-4)


def test_training_takes_the_schemes_in_turns_and_a_copy_goes_on_where_it_was(
    absorbed: FloatGraph, graphs: dict[SchemeName, QuantGraph]
) -> None:
    network = QatNetwork(absorbed, list(graphs.values())).train()
    image = torch.from_numpy(image_input(3))
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
    boxes, scores = network(torch.from_numpy(image_input(4)))
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
    image = torch.from_numpy(np.concatenate([image_input(seed) for seed in range(4)]))
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
    integers = view.constant(names.quantized(f"{name}.weight")).astype(np.float32)
    scales = np.asarray(view.constant(names.scale(f"{name}.weight")), np.float32)
    np.testing.assert_allclose(weight, integers * scales[:, None, None, None], rtol=1e-5, atol=1e-9)


def test_the_model_is_left_alone(
    absorbed: FloatGraph, graphs: dict[SchemeName, QuantGraph]
) -> None:
    before = absorbed.model.SerializeToString(deterministic=True)
    network = QatNetwork(absorbed, list(graphs.values())).train()
    network(torch.from_numpy(image_input(6)))
    assert absorbed.model.SerializeToString(deterministic=True) == before
