"""The range whose quantized distribution says most about the real one.

The Kullback-Leibler calibration of "8-bit Inference with TensorRT" (Migacz, GTC 2017), for both one-
and two-sided tensors: candidate thresholds clip the histogram, the clipped one is the reference P, and
Q is what 8 bits leave of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgessd.calibrate.table import TensorStatistics
from edgessd.quantize.recipe import RangeRule
from edgessd.quantize.schemes import Scheme

_CANDIDATES = np.linspace(1.0, 0.2, 81)


def entropy_range(
    statistics: TensorStatistics, rule: RangeRule, scheme: Scheme
) -> tuple[float, float]:
    """Clip at the magnitude with the smallest divergence; ties to the widest."""
    low, high = min(statistics.minimum, 0.0), max(statistics.maximum, 0.0)
    limit = max(-low, high)
    if limit == 0.0:
        return 0.0, 0.0
    best, smallest = 1.0, np.inf
    for share in _CANDIDATES:
        clipped_low, clipped_high = max(low, -limit * share), min(high, limit * share)
        divergence = _divergence(statistics, clipped_low, clipped_high, scheme)
        if divergence < smallest:
            best, smallest = float(share), divergence
    return max(low, -limit * best), min(high, limit * best)


def _divergence(
    statistics: TensorStatistics, low: float, high: float, scheme: Scheme
) -> float:
    """KL(P || Q) of the range [low, high]."""
    bins = statistics.first_bin + np.arange(len(statistics.counts))
    first = int(np.floor(low / statistics.bin_width))
    last = max(int(np.ceil(high / statistics.bin_width)) - 1, first)
    inside = statistics.counts[(bins >= first) & (bins <= last)].astype(np.float64)
    if inside.sum() == 0:
        return float("inf")
    centres = (bins[(bins >= first) & (bins <= last)] + 0.5) * statistics.bin_width
    reference = inside.copy()
    reference[0] += statistics.counts[bins < first].sum()
    reference[-1] += statistics.counts[bins > last].sum()
    params = scheme.params(low, high)
    levels = np.rint(centres / params.scale).astype(np.int64)
    return _kl(reference, _spread(inside, levels - levels.min()))


def _spread(counts: NDArray[np.float64], levels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each level's count shared equally among its filled bins."""
    filled = counts > 0
    totals = np.bincount(levels, weights=counts)
    members = np.bincount(levels, weights=filled)
    shares = totals / np.maximum(members, 1)
    return np.where(filled, shares[levels], 0.0)


def _kl(reference: NDArray[np.float64], found: NDArray[np.float64]) -> float:
    """Divergence of two histograms; a bin that only the reference fills gets a trace in the other."""
    p = reference / reference.sum()
    q = found / found.sum()
    filled = p > 0
    return float(np.sum(p[filled] * np.log(p[filled] / np.maximum(q[filled], 1e-9))))
