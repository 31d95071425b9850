"""Integers worked out by hand, each with its reason."""

from __future__ import annotations

import numpy as np
import pytest

from edgessd.core.errors import GraphError
from edgessd.core.tensors import QuantParams
from edgessd.quantize.conv.weight_limits import weight_limits
from edgessd.quantize.qparams import (
    affine_params,
    bias_scales,
    dequantize_weight,
    float16_bias,
    quantize_activation,
    quantize_bias,
    quantize_weight,
    symmetric_params,
    weight_scales,
)


def test_affine_relu6_uses_every_level_above_zero() -> None:
    params = affine_params(0.0, 6.0)
    # 255 steps over 6; 0 is the lowest integer, since nothing is negative.
    assert params.scale == np.float32(6 / 255)
    assert params.zero_point == -128
    integers = quantize_activation(np.array([0.0, 6.0, 9.0, -1.0], np.float32), params)
    # 6 is the 255th step above -128; 9 and -1 saturate.
    assert integers.tolist() == [-128, 127, 127, -128]


def test_affine_range_on_both_sides() -> None:
    params = affine_params(-1.0, 1.55)
    # Steps of 0.01; -1 is 100 steps below 0 and must be -128, so 0 is -28.
    assert params.scale == pytest.approx(0.01)
    assert params.zero_point == -28
    assert quantize_activation(np.zeros(1, np.float32), params).tolist() == [-28]


@pytest.mark.parametrize(("low", "high"), [(2.0, 5.1), (-5.1, -2.0)])
def test_affine_range_is_widened_to_hold_zero(low: float, high: float) -> None:
    params = affine_params(low, high)
    # Zero padding needs an exact 0, so the range reaches it: 255 steps over 5.1, not over 3.1.
    assert params.scale == pytest.approx(5.1 / 255)
    assert params.zero_point == (-128 if low > 0 else 127)


def test_symmetric_is_mirrored() -> None:
    params = symmetric_params(-1.27, 0.5)
    # The larger side, 1.27, takes 127 steps; TensorRT allows no other zero point than 0.
    # Of scales near 0.01, float16 has one every 2^-17.
    assert params == QuantParams(scale=round(0.01 * 2**17) / 2**17, zero_point=0)
    assert quantize_activation(np.array([-1.27, 0.5], np.float32), params).tolist() == [-127, 50]


def test_symmetric_parameters_are_float16_numbers() -> None:
    limits = np.array([6.0, 0.31, 1e-3, 2e-6, 0.0], np.float32)
    scales = weight_scales(limits, float16=True)
    assert scales.dtype == np.float32
    np.testing.assert_array_equal(scales, scales.astype(np.float16).astype(np.float32))
    # Nothing is clipped, in the coarse numbers below 6e-5 neither: the limit is still integer 127 or less.
    assert (np.rint(limits / scales) <= 127).all()
    # Normal numbers are the nearest ones; 1e-3 / 127 = 132.1 * 2^-24 takes the number above.
    np.testing.assert_allclose(scales[:2], limits[:2] / 127, rtol=2**-11)
    assert scales[2] == 133 * 2.0**-24
    # The smallest float16 there is stands for a dead channel.
    assert scales[4] == 2.0**-24
    plain = weight_scales(limits)
    assert plain[2] == np.float32(np.float64(np.float32(1e-3)) / 127)


def test_parameters_beyond_float16_are_refused() -> None:
    with pytest.raises(GraphError, match="scale doesn't fit float16"):
        symmetric_params(0.0, 9e6)
    with pytest.raises(GraphError, match="bias doesn't fit float16"):
        float16_bias(np.array([0.0, -7e4], np.float32))
    assert float16_bias(np.array([0.1], np.float32)).item() == np.float16(0.1)


def test_ties_go_to_even() -> None:
    params = QuantParams(scale=1.0, zero_point=0)
    # As ONNX QuantizeLinear rounds: 0.5 → 0, 1.5 → 2, 2.5 → 2, -0.5 → 0.
    halves = np.array([0.5, 1.5, 2.5, -0.5], np.float32)
    assert quantize_activation(halves, params).tolist() == [0, 2, 2, 0]


def test_weights_are_narrow_range_per_channel() -> None:
    weight = np.array([[-1.27, 0.635], [0.0254, -0.0127]], np.float32).reshape(2, 2, 1, 1)
    scales = weight_scales(weight_limits(weight, "minmax"))
    # Int8 weights are symmetric, -127 to 127, and each output channel has its own scale.
    assert scales == pytest.approx([0.01, 0.0002])
    integers = quantize_weight(weight, scales)
    assert integers.reshape(2, 2).tolist() == [[-127, 64], [127, -64]]
    np.testing.assert_allclose(dequantize_weight(integers, scales), weight, atol=0.005)


def test_weight_is_never_minus_128() -> None:
    scales = np.array([0.01], np.float32)
    integers = quantize_weight(np.full((1, 1, 1, 1), -9.0, np.float32), scales)
    assert integers.item() == -127


def test_bias_scale_is_the_product_in_float32() -> None:
    source = affine_params(0.0, 6.0)
    weights = np.array([0.01, 0.003], np.float32)
    scales = bias_scales(source, weights)
    assert scales.dtype == np.float32
    assert scales.tolist() == [
        np.float32(source.scale) * np.float32(0.01),
        np.float32(source.scale) * np.float32(0.003),
    ]
    # 1 / (6/255 * 0.01) = 4250
    assert quantize_bias(np.array([1.0, 0.0], np.float32), scales).tolist() == [4250, 0]


def test_dead_tensor_keeps_relu6_bound_inside_int32() -> None:
    params = affine_params(0.0, 0.0)
    # LiteRT computes round(6 / scale) as int32 for a fused ReLU6.
    assert 6 / params.scale < 2**31
    assert params.zero_point == -128


@pytest.mark.parametrize("limit", [float("nan"), float("inf")])
def test_weight_that_is_not_finite_is_refused(limit: float) -> None:
    with pytest.raises(GraphError, match="weight isn't finite"):
        weight_scales(np.array([1.0, limit], np.float32))


def test_unusable_range_is_refused() -> None:
    with pytest.raises(GraphError, match="range"):
        affine_params(1.0, float("inf"))
