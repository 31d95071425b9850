"""Round weights so that their errors cancel in the sums that they make.

Rounding each weight to the nearest integer minimises the error of weights. What counts is the error of
the layer's output, D H D^T for a weight error D and the covariance H of the inputs, and a weight
rounded up can make good what its neighbour lost by being rounded down. Two steps, both closed form:

1. Column by column, the error of a rounded weight is handed to those not yet rounded, as far as their
   inputs are correlated ("GPTQ", algorithm 1 of arXiv:2210.17323; "optimal brain compression").
2. Coordinate descent: each weight in turn moves to the integer that is best given all others.

What is left has a mean, D times the mean input, and the bias takes it. So H is centred: only what
varies has to cancel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgessd.calibrate.moments import InputMoments
from edgessd.quantize.qparams import WEIGHT_MAX, FloatArray, Int8Array, WeightParams

Array = NDArray[np.float64]

DAMPING = 0.01
"""Of the mean variance, added to each input's: no error is free, and the inverse stays tame."""

SWEEPS = 3
"""Of coordinate descent; after three hardly a weight moves."""

BLOCK = 64
"""Columns whose errors are handed on to the rest in one matrix product."""


def round_weights(
    weight: FloatArray, params: WeightParams, moments: InputMoments, input_step: float
) -> tuple[Int8Array, FloatArray]:
    """Integers for a weight at given scales, and what the bias must make good.

    Args:
        weight: (out_channels, in_channels / groups, kh, kw).
        params: Final scales, per output channel.
        moments: Of the inputs.
        input_step: Scale of the quantized input; its rounding adds step^2 / 12 to every variance.

    Returns:
        int8 in [-127, 127] of the weight's shape, and float32 (out_channels,) to add to the bias.
    """
    groups, size = moments.mean.shape
    shape = (groups, len(weight) // groups, size)
    real = weight.astype(np.float64).reshape(shape)
    scales = params.scales.astype(np.float64).reshape(*shape[:2], 1)
    covariance = _conditioned(moments, input_step)
    integers = _hand_on(real, scales, covariance)
    _descend(integers, real, scales, covariance)
    lost = np.einsum("grk,gk->gr", real - integers * scales, moments.mean.astype(np.float64))
    return (
        integers.reshape(weight.shape).astype(np.int8),
        lost.reshape(-1).astype(np.float32),
    )


def _conditioned(moments: InputMoments, input_step: float) -> Array:
    """The covariance (groups, K, K), as far as the number of patches lets one trust it."""
    covariance = moments.covariance.astype(np.float64)
    diagonal = np.einsum("gkk->gk", covariance).copy()
    size = diagonal.shape[1]
    trust = moments.count / (moments.count + size)
    covariance *= trust
    added = input_step**2 / 12 + DAMPING * diagonal.mean(axis=1, keepdims=True)
    np.einsum("gkk->gk", covariance)[...] = diagonal + np.maximum(added, 1e-20)
    return covariance


def _hand_on(real: Array, scales: Array, covariance: Array) -> Array:
    """Integers (groups, rows, K), as float64, by step 1."""
    size = real.shape[2]
    # Inputs that vary most first, while there is still something to hand their errors to. One order
    # for all groups of a depthwise convolution, whose nine inputs vary alike.
    order = np.argsort(-np.einsum("gkk->k", covariance), kind="stable")
    pending = real[:, :, order].copy()
    inverse = np.linalg.inv(covariance[:, order][:, :, order])
    upper = np.linalg.cholesky((inverse + inverse.transpose(0, 2, 1)) / 2).transpose(0, 2, 1)
    integers = np.empty_like(pending)
    for start in range(0, size, BLOCK):
        end = min(start + BLOCK, size)
        errors = np.empty((*real.shape[:2], end - start))
        for column in range(start, end):
            integers[:, :, column] = _rounded(pending[:, :, column], scales[:, :, 0])
            error = pending[:, :, column] - integers[:, :, column] * scales[:, :, 0]
            error /= upper[:, column, column, None]
            errors[:, :, column - start] = error
            pending[:, :, column + 1 : end] -= (
                error[:, :, None] * upper[:, None, column, column + 1 : end]
            )
        pending[:, :, end:] -= errors @ upper[:, start:end, end:]
    found: Array = np.empty_like(integers)
    found[:, :, order] = integers
    return found


def _descend(integers: Array, real: Array, scales: Array, covariance: Array) -> None:
    """Step 2, in place."""
    step = scales[:, :, 0]
    slope = (integers * scales - real) @ covariance
    curvature = np.einsum("gkk->gk", covariance)
    for _ in range(SWEEPS):
        for column in range(real.shape[2]):
            old = integers[:, :, column]
            wish = old * step - slope[:, :, column] / curvature[:, column, None]
            new = _rounded(wish, step)
            moved = new != old
            if not moved.any():
                continue
            change = (new - old) * step
            integers[:, :, column] = new
            group, row = np.nonzero(moved)
            slope[group, row] += change[group, row, None] * covariance[group, column]


def _rounded(values: Array, scales: Array) -> Array:
    return np.asarray(np.clip(np.rint(values / scales), -WEIGHT_MAX, WEIGHT_MAX))
