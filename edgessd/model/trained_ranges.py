"""Activation ranges from quantization-aware training, as a checkpoint stores them."""

from __future__ import annotations

import msgspec

from edgessd.bundle.manifest import CalibrationRecord
from edgessd.bundle.quality import CalibrationAudit
from edgessd.core.errors import ConfigError


class TrainedRanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Activation ranges that were learned together with a checkpoint's weights.

    Attributes:
        schemes: Quantization schemes of the training.
        ranges: (low, high) by the name of the tensor's scale in the quantized graph; low <= 0 <= high.
        calibration: Record of the calibration images of the initial ranges.
        audit: Audit of these images. It holds no saturation, because training chose the values that
            the ranges cut off.
    """

    schemes: tuple[str, ...]
    ranges: dict[str, tuple[float, float]]
    calibration: CalibrationRecord
    audit: CalibrationAudit

    def __post_init__(self) -> None:
        if not self.schemes or not self.ranges:
            raise ConfigError(
                "The trained ranges are empty",
                expected="at least one scheme and one range",
                found=f"{len(self.schemes)} schemes and {len(self.ranges)} ranges",
            )
        for name, (low, high) in self.ranges.items():
            # This form of the comparison refuses NaN too.
            if not -float("inf") < low <= 0 <= high < float("inf"):
                raise ConfigError(
                    f"The trained range of {name!r} isn't usable",
                    expected="low <= 0 <= high, both finite",
                    found=f"{low} to {high}",
                )
