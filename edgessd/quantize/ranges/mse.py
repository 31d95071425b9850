"""Range with the smallest mean squared error.

Clipping a few large values reduces the rounding error of all others. The best compromise is searched on the
histogram.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgessd.calibrate.table import TensorStatistics
from edgessd.quantize.recipe import RangeRule
from edgessd.quantize.schemes import Scheme

_SHRINKS = np.linspace(1.0, 0.2, 41)


def mse_range(statistics: TensorStatistics, rule: RangeRule, scheme: Scheme) -> tuple[float, float]:
    """Search both ends in turn, twice, between 20% and 100% of the values seen."""
    low, high = min(statistics.minimum, 0.0), max(statistics.maximum, 0.0)
    values, weights = _points(statistics)
    if scheme.symmetric:
        limit = max(-low, high)
        best = _best(values, weights, -limit * _SHRINKS, limit * _SHRINKS, levels=254)
        return max(-limit * best, low), min(limit * best, high)
    low_shrink = high_shrink = 1.0
    for _ in range(2):
        lows = np.full_like(_SHRINKS, low * low_shrink)
        high_shrink = _best(values, weights, lows, high * _SHRINKS, levels=255)
        highs = np.full_like(_SHRINKS, high * high_shrink)
        low_shrink = _best(values, weights, low * _SHRINKS, highs, levels=255)
    return low * low_shrink, high * high_shrink


def _points(
    statistics: TensorStatistics,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (values, weights): the center of each filled bin and its share."""
    filled = np.flatnonzero(statistics.counts)
    values = np.asarray((statistics.first_bin + filled + 0.5) * statistics.bin_width, np.float64)
    # The bin that starts at 0 holds the exact zeros of a ReLU, which have no error.
    values[statistics.first_bin + filled == 0] = 0.0
    weights = statistics.counts[filled] / statistics.counts.sum()
    return values, weights


def _best(
    values: NDArray[np.float64],
    weights: NDArray[np.float64],
    lows: NDArray[np.float64],
    highs: NDArray[np.float64],
    *,
    levels: int,
) -> float:
    """Return the shrink factor of the range with the smallest error; of equal ones, the widest."""
    scales = np.maximum(highs - lows, 1e-12)[:, None] / levels
    clipped = np.clip(values[None, :], lows[:, None], highs[:, None])
    errors = np.rint(clipped / scales) * scales - values[None, :]
    # Inside the range the rounding error is uniform, which the bins are too coarse to show.
    inside = (values >= lows[:, None]) & (values <= highs[:, None]) & (values != 0)
    squares = np.where(inside, scales**2 / 12, errors**2)
    return float(_SHRINKS[int(np.argmin(squares @ weights))])
