"""Range whose quantized distribution is closest to the real one.

The Kullback-Leibler calibration of "8-bit Inference with TensorRT" (Migacz, GTC 2017), for one- and two-sided
tensors. Candidate thresholds clip the histogram; the clipped histogram is the reference P, and Q is its form
after quantization to 8 bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgessd.calibrate.table import TensorStatistics
from edgessd.quantize.recipe import RangeRule
from edgessd.quantize.schemes import Scheme

_CANDIDATES = np.linspace(1.0, 0.3, 36)


def entropy_range(
    statistics: TensorStatistics, rule: RangeRule, scheme: Scheme
) -> tuple[float, float]:
    """Return the range with the smallest divergence; of equal ones, the widest."""
    low, high = min(statistics.minimum, 0.0), max(statistics.maximum, 0.0)
    limit = max(-low, high)
    bins = statistics.first_bin + np.arange(len(statistics.counts))
    # Half of the outputs of a ReLU are exactly 0, which every range represents exactly. Counted, that spike
    # would be spread over its level, and the search would shrink the range until the level is one bin.
    kept = (statistics.counts > 0) & (bins != 0)
    if not kept.any():
        return low, high
    centers = (bins[kept] + 0.5) * statistics.bin_width
    counts = statistics.counts[kept].astype(np.float64)
    best, smallest = 1.0, np.inf
    for share in _CANDIDATES:
        clipped_low, clipped_high = max(low, -limit * share), min(high, limit * share)
        divergence = _divergence(centers, counts, clipped_low, clipped_high, scheme)
        if divergence < smallest:
            best, smallest = float(share), divergence
    return max(low, -limit * best), min(high, limit * best)


def _divergence(
    centers: NDArray[np.float64],
    counts: NDArray[np.float64],
    low: float,
    high: float,
    scheme: Scheme,
) -> float:
    """Return KL(P || Q) of the range [low, high], over filled bins (centers, counts) in ascending order."""
    inside = np.flatnonzero((centers >= low) & (centers <= high))
    if not len(inside):
        return float("inf")
    first, last = int(inside[0]), int(inside[-1])
    reference = counts[first : last + 1].copy()
    reference[0] += counts[:first].sum()
    reference[-1] += counts[last + 1 :].sum()
    scale = scheme.params(low, high).scale
    levels = np.rint(centers[first : last + 1] / scale).astype(np.int64)
    return _kl(reference, _spread(counts[first : last + 1], levels - levels.min()))


def _spread(counts: NDArray[np.float64], levels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share each level's count equally among its bins."""
    shares = np.bincount(levels, weights=counts) / np.maximum(np.bincount(levels), 1)
    return np.asarray(shares[levels], np.float64)


def _kl(reference: NDArray[np.float64], found: NDArray[np.float64]) -> float:
    """Return the divergence of two histograms without empty bins."""
    p, q = reference / reference.sum(), found / found.sum()
    return float(np.sum(p * np.log(p / q)))
