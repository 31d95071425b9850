"""Range of all values seen."""

from __future__ import annotations

from edgessd.calibrate.table import TensorStatistics
from edgessd.quantize.recipe import RangeRule
from edgessd.quantize.schemes import Scheme


def minmax_range(
    statistics: TensorStatistics, rule: RangeRule, scheme: Scheme
) -> tuple[float, float]:
    """Return (minimum, maximum) over all images."""
    return statistics.minimum, statistics.maximum
