"""Range of the average image, which a single outlier hardly widens.

An average of per-image extremes (section 3.1.1 of arXiv:1712.05877), with equal weights so that the order
of the images doesn't matter.
"""

from __future__ import annotations

from edgessd.calibrate.table import TensorStatistics
from edgessd.quantize.recipe import RangeRule
from edgessd.quantize.schemes import Scheme


def average_range(
    statistics: TensorStatistics, rule: RangeRule, scheme: Scheme
) -> tuple[float, float]:
    """Return the mean of the images' extremes, widened by `rule.deviations` within the values seen."""
    low = statistics.mean_minimum - rule.deviations * statistics.deviation_minimum
    high = statistics.mean_maximum + rule.deviations * statistics.deviation_maximum
    return max(low, statistics.minimum), min(high, statistics.maximum)
