"""Biases that restore the mean output of the real weights."""

from __future__ import annotations

import numpy as np
import pytest

from edgessd.calibrate.moments import InputMoments
from edgessd.quantize.conv.correct_bias import correct_bias


@pytest.mark.parametrize("groups", [1, 4])
def test_the_mean_output_is_that_of_the_real_weights(groups: int) -> None:
    rng = np.random.default_rng(5)
    weight = rng.normal(size=(4, 4 // groups, 1, 1)).astype(np.float32)
    bias = rng.normal(size=4).astype(np.float32)
    scales = np.full(4, 0.25, np.float32)
    integers = np.round(weight / 0.25).astype(np.int8)
    mean = rng.normal(size=(groups, 4 // groups)).astype(np.float32)
    spread = np.zeros((groups, 4 // groups, 4 // groups), np.float32)
    moments = InputMoments(mean=mean, covariance=spread, count=9)
    found = correct_bias(bias, weight, integers, scales, moments)

    def output(values: np.ndarray, offset: np.ndarray) -> np.ndarray:
        rows = values.reshape(groups, 4 // groups, -1)
        return np.einsum("grk,gk->gr", rows, mean).reshape(-1) + offset

    np.testing.assert_allclose(
        output(integers * np.float32(0.25), found), output(weight, bias), atol=1e-5
    )
    assert not np.allclose(found, bias, atol=1e-3)
