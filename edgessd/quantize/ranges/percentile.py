"""Range of all but a fixed share of the values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgessd.calibrate.table import TensorStatistics
from edgessd.quantize.recipe import RangeRule
from edgessd.quantize.schemes import Scheme


def percentile_range(
    statistics: TensorStatistics, rule: RangeRule, scheme: Scheme
) -> tuple[float, float]:
    """Leave out (100 - percentile) / 2 percent of the values on each side.

    In the symmetric scheme, leave out (100 - percentile) percent of the values with the largest magnitudes.
    """
    inside = rule.percentile / 100
    if scheme.symmetric:
        limit = _quantile_of_magnitudes(statistics, inside)
        return max(-limit, statistics.minimum), min(limit, statistics.maximum)
    low = quantile(statistics.edges, statistics.counts, (1 - inside) / 2)
    high = quantile(statistics.edges, statistics.counts, (1 + inside) / 2)
    return max(low, statistics.minimum), min(high, statistics.maximum)


def quantile(edges: NDArray[np.float64], counts: NDArray[np.int64], share: float) -> float:
    """Return the value below which `share` of the counted values lie, linear inside a bin."""
    cumulated = np.concatenate([[0], np.cumsum(counts)]) / max(counts.sum(), 1)
    # Empty bins repeat a cumulated share. The outer end of each step is kept, so that a quantile of 0 or 1
    # is the edge of the first or last filled bin.
    filled = np.flatnonzero(counts)
    inner = slice(filled[0], filled[-1] + 2) if len(filled) else slice(0, 2)
    return float(np.interp(share, cumulated[inner], edges[inner]))


def _quantile_of_magnitudes(statistics: TensorStatistics, share: float) -> float:
    """Return a quantile of |value|: the histogram is folded at 0, which always lies on an edge."""
    below = max(0, -statistics.first_bin)
    bins = statistics.first_bin + np.arange(len(statistics.counts))
    magnitudes = np.where(bins >= 0, bins, -bins - 1)
    folded = np.bincount(magnitudes, weights=statistics.counts, minlength=max(below, 1)).astype(
        np.int64
    )
    edges = np.arange(len(folded) + 1) * statistics.bin_width
    return quantile(np.asarray(edges, np.float64), folded, share)
