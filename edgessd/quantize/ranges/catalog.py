"""Range methods by name."""

from __future__ import annotations

from collections.abc import Callable

from edgessd.calibrate.table import TensorStatistics
from edgessd.quantize.ranges.average import average_range
from edgessd.quantize.ranges.entropy import entropy_range
from edgessd.quantize.ranges.minmax import minmax_range
from edgessd.quantize.ranges.mse import mse_range
from edgessd.quantize.ranges.percentile import percentile_range
from edgessd.quantize.recipe import RangeMethod, RangeRule
from edgessd.quantize.schemes import Scheme

Method = Callable[[TensorStatistics, RangeRule, Scheme], tuple[float, float]]

METHODS: dict[RangeMethod, Method] = {
    "minmax": minmax_range,
    "average": average_range,
    "percentile": percentile_range,
    "mse": mse_range,
    "entropy": entropy_range,
}


def activation_range(
    statistics: TensorStatistics, rule: RangeRule, scheme: Scheme
) -> tuple[float, float]:
    """Return (low, high) of a tensor by `rule.method`, within the values seen."""
    return METHODS[rule.method](statistics, rule, scheme)
