"""Learned rounding and bias correction: the error that they minimize, measured on the inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgessd.calibrate.moments import InputMoments
from edgessd.core.errors import CalibrationError
from edgessd.quantize.conv.correct_bias import correct_bias
from edgessd.quantize.conv.round_weights import round_weights
from edgessd.quantize.qparams import dequantize_weight, quantize_weight, weight_scales

Array = NDArray[Any]


def correlated(groups: int, size: int, count: int = 4000) -> Array:
    """(groups, size, count) inputs that share a few causes and have a mean, like ReLU's outputs."""
    random = np.random.default_rng(11)
    causes = random.normal(size=(groups, 4, count))
    mixing = random.normal(size=(groups, size, 4))
    inputs = np.einsum("gkc,gcn->gkn", mixing, causes) + 0.2 * random.normal(
        size=(groups, size, count)
    )
    return np.maximum(inputs + 1.0, 0).astype(np.float32)


def moments_of(inputs: Array) -> InputMoments:
    mean = inputs.mean(axis=2)
    centered = inputs - mean[:, :, None]
    covariance = centered @ centered.transpose(0, 2, 1) / inputs.shape[2]
    return InputMoments(mean=mean, covariance=covariance.astype(np.float32), count=inputs.shape[2])


def outputs(weight: Array, inputs: Array) -> Array:
    groups = len(inputs)
    return weight.reshape(groups, -1, inputs.shape[1]) @ inputs


@pytest.mark.parametrize(
    ("groups", "shape"),
    [(1, (24, 96, 1, 1)), (1, (8, 12, 3, 3)), (40, (40, 1, 3, 3))],
    ids=["pointwise", "dense", "depthwise"],
)
def test_errors_cancel_on_inputs_that_were_not_learned_from(
    groups: int, shape: tuple[int, ...]
) -> None:
    weight = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    inputs = correlated(groups, int(np.prod(shape)) // shape[0] if groups == 1 else 9)
    learned_from, judged_on = inputs[:, :, :2000], inputs[:, :, 2000:]
    # Few levels, so that rounding hurts.
    params = weight_scales(np.abs(weight.reshape(len(weight), -1)).max(axis=1) * 8)
    nearest = quantize_weight(weight, params)
    learned = round_weights(weight, params, moments_of(learned_from), 1e-3)
    assert learned.shape == nearest.shape
    assert learned.dtype == np.int8
    wanted = outputs(weight, judged_on)
    nearest_error, learned_error = (
        (outputs(dequantize_weight(integers, params), judged_on) - wanted).std(axis=2)
        for integers in (nearest, learned)
    )
    assert np.square(learned_error).mean() < 0.8 * np.square(nearest_error).mean()
    # It moves no weight far.
    assert np.abs(learned.astype(int) - nearest).max() <= 6


def test_weights_on_the_grid_stay_there() -> None:
    integers = np.random.default_rng(3).integers(-127, 128, (6, 32, 1, 1)).astype(np.int8)
    integers[:, 0] = 127
    params = weight_scales(np.full(6, 2.0, np.float32))
    weight = dequantize_weight(integers, params)
    found = round_weights(weight, params, moments_of(correlated(1, 32)), 0.01)
    np.testing.assert_array_equal(found, integers)


def test_integers_stay_in_the_narrow_range() -> None:
    weight = np.random.default_rng(4).normal(size=(5, 16, 1, 1)).astype(np.float32)
    params = weight_scales(np.full(5, 0.3, np.float32))
    found = round_weights(weight, params, moments_of(correlated(1, 16)), 0.01)
    assert found.min() == -127
    assert found.max() == 127


def test_inputs_that_never_vary_are_no_obstacle() -> None:
    weight = np.random.default_rng(5).normal(size=(3, 8, 1, 1)).astype(np.float32)
    params = weight_scales(np.abs(weight.reshape(3, -1)).max(axis=1))
    dead = InputMoments(
        mean=np.zeros((1, 8), np.float32), covariance=np.zeros((1, 8, 8), np.float32), count=100
    )
    np.testing.assert_array_equal(
        round_weights(weight, params, dead, 1e-6), quantize_weight(weight, params)
    )


@pytest.mark.parametrize("groups", [1, 7])
def test_the_bias_takes_the_mean_error(groups: int) -> None:
    size = 21 if groups == 1 else 9
    inputs = correlated(groups, size)
    weight = np.random.default_rng(6).normal(size=(7, size, 1, 1)).astype(np.float32)
    params = weight_scales(np.abs(weight.reshape(7, -1)).max(axis=1) * 10)
    integers = quantize_weight(weight, params)
    bias = np.arange(7, dtype=np.float32)
    corrected = correct_bias(bias, weight, integers, params, moments_of(inputs))
    wanted = outputs(weight, inputs).mean(axis=2).reshape(-1) + bias
    rounded = outputs(dequantize_weight(integers, params), inputs).mean(axis=2).reshape(-1)
    assert np.abs(rounded + bias - wanted).max() > 0.01
    np.testing.assert_allclose(rounded + corrected, wanted, atol=1e-4)


def test_a_covariance_that_rounding_made_indefinite_is_damped() -> None:
    random = np.random.default_rng(8)
    weight = random.normal(size=(4, 12, 1, 1)).astype(np.float32)
    params = weight_scales(np.abs(weight.reshape(4, -1)).max(axis=1))
    covariance = np.ones((1, 12, 12), np.float32)
    covariance[0, 0, 1] = covariance[0, 1, 0] = 1.05
    moments = InputMoments(mean=np.ones((1, 12), np.float32), covariance=covariance, count=10**6)
    found = round_weights(weight, params, moments, 1e-3)
    assert np.abs(found.astype(int) - quantize_weight(weight, params)).max() <= 12
    # All inputs are alike, so the sum of a row is all that counts.
    error = (dequantize_weight(found, params) - weight).sum(axis=(1, 2, 3))
    assert (np.abs(error) <= params).all()


def test_values_that_arent_finite_are_refused() -> None:
    moments = InputMoments(
        mean=np.zeros((1, 4), np.float32),
        covariance=np.full((1, 4, 4), np.nan, np.float32),
        count=100,
    )
    with pytest.raises(CalibrationError, match="covariance"):
        round_weights(
            np.ones((2, 4, 1, 1), np.float32), weight_scales(np.ones(2, np.float32)), moments, 0.1
        )
