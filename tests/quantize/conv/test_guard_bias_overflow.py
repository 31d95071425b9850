"""A bias stays within int32, and only the channels that need it change."""

from __future__ import annotations

import numpy as np
import pytest

from edgessd.core.errors import GraphError
from edgessd.core.tensors import QuantParams
from edgessd.quantize.conv.guard_bias_overflow import LARGEST_BIAS, guard_bias_overflow
from edgessd.quantize.qparams import (
    affine_params,
    bias_scales,
    quantize_bias,
)


def test_bias_overflow_widens_only_the_channel_that_needs_it() -> None:
    source = affine_params(0.0, 6.0)
    weights = np.array([1e-9, 0.01], np.float32)
    bias = np.array([3.0, 3.0], np.float32)
    with pytest.raises(GraphError, match="overflows int32"):
        quantize_bias(bias, bias_scales(source, weights))
    guarded = guard_bias_overflow(weights, bias, source)
    integers = quantize_bias(bias, bias_scales(source, guarded))
    assert guarded[1] == weights[1]
    # Widened by just enough: the bias lies right under the limit.
    assert LARGEST_BIAS * 0.999 < integers[0] <= LARGEST_BIAS


def test_bias_guard_leaves_float16_scales() -> None:
    """Scale 6e-8 under a bias of 4.6: 1e10 at an input scale of 1/128, which onnxruntime wraps to 0."""
    source = QuantParams(scale=1 / 128, zero_point=0)
    weights = np.array([2.0**-24, 0.01], np.float16).astype(np.float32)
    guarded = guard_bias_overflow(weights, np.array([4.6, 3.0], np.float32), source, float16=True)
    assert (guarded.astype(np.float16).astype(np.float32) == guarded).all()
    assert 4.6 / (source.scale * float(guarded[0])) < 2**31
    assert guarded[1] == weights[1]
