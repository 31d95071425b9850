"""Round weights so that their errors cancel in the layer's sums.

Rounding each weight to the nearest integer minimizes the error of the weights. The error of the layer's
output counts more: D H D^T for a weight error D and the covariance H of the inputs. Rounding one weight up
can compensate for rounding its neighbor down. So the error of a rounded weight is passed on to the weights
that aren't rounded yet, as far as their inputs are correlated ("GPTQ", algorithm 1 of arXiv:2210.17323, in
the form of Babai's nearest plane, which needs no inverse of H). Moving single weights afterwards, each to
its best value given all others, was tried and improves nothing.

The remaining error has a mean, D times the mean input, which `correct_bias` adds to the bias. So H is a
covariance around the mean: only the varying part has to cancel.
"""

from __future__ import annotations

import numpy as np

from edgessd.calibrate.moments import InputMoments
from edgessd.core.arrays import FloatArray
from edgessd.core.errors import CalibrationError
from edgessd.quantize.qparams import WEIGHT_MAX, Int8Array

DAMPING = 0.01
"""Fraction of the mean variance that is added to each input's, so that H is well conditioned."""

MORE_DAMPING = (0.0, 0.1, 1.0, 10.0, 1000.0)

TINY = 1e-12
"""Smallest variance of an input, which float32 can still invert."""

BLOCK = 64
"""Number of columns whose errors are passed on to the rest in one matrix product."""


def round_weights(
    weight: FloatArray, scales: FloatArray, moments: InputMoments, input_step: float
) -> Int8Array:
    """Return the integers in [-127, 127], int8 of the weight's shape, for a weight at given scales.

    Args:
        weight: (out_channels, in_channels / groups, kh, kw).
        scales: Final scales (out_channels,).
        moments: Moments of the layer's inputs.
        input_step: Scale of the quantized input, whose rounding adds step^2 / 12 to every variance.
    """
    groups, size = moments.mean.shape
    shape = (groups, len(weight) // groups, size)
    real = weight.reshape(shape)
    integers = _hand_on(real, scales.reshape(shape[:2]), _conditioned(moments, input_step))
    return integers.reshape(weight.shape).astype(np.int8)


def _conditioned(moments: InputMoments, input_step: float) -> FloatArray:
    """Return the covariance (groups, K, K), reduced off the diagonal if there are few patches."""
    diagonal = np.einsum("gkk->gk", moments.covariance)
    trust = moments.count / (moments.count + diagonal.shape[1])
    covariance: FloatArray = moments.covariance * np.float32(trust)
    added = input_step**2 / 12 + DAMPING * diagonal.mean(axis=1, keepdims=True)
    np.einsum("gkk->gk", covariance)[...] = diagonal + np.maximum(added, TINY)
    return covariance


def _hand_on(real: FloatArray, scales: FloatArray, covariance: FloatArray) -> FloatArray:
    """Round weights (groups, rows, K) and return the integers as float32.

    With H = L L^T the error of a row is |D L|^2, and column j of D L depends on the columns j and later
    of D. So the columns are rounded from the last to the first, each to the integer that brings its sum
    closest to 0. GPTQ computes the same with the inverse of H.
    """
    size = real.shape[2]
    # Weights of the inputs that vary most are rounded first, while others are left to take their errors.
    # All groups of a depthwise convolution have one order, because their nine inputs vary alike.
    order = np.argsort(np.einsum("gkk->k", covariance), kind="stable")
    lower = _factor(covariance[:, order][:, :, order])
    wanted = real[:, :, order]
    sums = np.zeros_like(wanted)
    integers = np.empty_like(wanted)
    for end in range(size, 0, -BLOCK):
        start = max(end - BLOCK, 0)
        errors = np.empty((*real.shape[:2], end - start), np.float32)
        for column in range(end - 1, start - 1, -1):
            row = lower[:, column, None]
            target = wanted[:, :, column] - sums[:, :, column] / row[..., column]
            integers[:, :, column] = _rounded(target, scales)
            error = integers[:, :, column] * scales - wanted[:, :, column]
            errors[:, :, column - start] = error
            sums[:, :, start:column] += error[:, :, None] * row[:, :, start:column]
        sums[:, :, :start] += errors @ lower[:, start:end, :start]
    found: FloatArray = np.empty_like(integers)
    found[:, :, order] = integers
    return found


def _factor(covariance: FloatArray) -> FloatArray:
    """Return L of H = L L^T, with as much additional damping as float32 needs.

    If hundreds of inputs are nearly equal, float32 rounding can make the smallest variances negative.
    More damping only moves the outcome closer to the nearest integers.

    Raises:
        CalibrationError: The covariance isn't finite.
    """
    diagonal = np.einsum("gkk->gk", covariance)
    mean = diagonal.mean(axis=1, keepdims=True)
    for damping in MORE_DAMPING if np.isfinite(covariance).all() else ():
        diagonal += np.float32(damping) * mean
        try:
            lower: FloatArray = np.linalg.cholesky(covariance)
            return lower
        except np.linalg.LinAlgError:
            continue
    raise CalibrationError(
        "The inputs of a layer have no usable covariance",
        expected="finite activations",
        found=f"a mean variance of {float(mean.max()):g}",
        fix="Look for a layer that training left unbounded.",
    )


def _rounded(values: FloatArray, scales: FloatArray) -> FloatArray:
    rounded: FloatArray = np.minimum(np.maximum(np.rint(values / scales), -WEIGHT_MAX), WEIGHT_MAX)
    return rounded
