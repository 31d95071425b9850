"""Fake quantization rounds as the engine does, and its gradients are those of the papers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgessd.core.tensors import QuantParams
from edgessd.quantize.qat.fake_quantize import (
    FakeParams,
    activation_params,
    fake_quantize,
    fake_quantize_weight,
    settled_weight,
)
from edgessd.quantize.qparams import dequantize_weight, quantize_weight, weight_scales
from edgessd.quantize.schemes import SCHEMES, SchemeName


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
