"""Activation ranges that a training learned together with the weights, as a checkpoint carries them."""

from __future__ import annotations

import msgspec

from edgessd.bundle.manifest import CalibrationRecord
from edgessd.bundle.quality import CalibrationAudit
from edgessd.core.errors import ConfigError


class TrainedRanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What quantization-aware training adds to a checkpoint.

    Attributes:
        schemes: Quantization schemes that it trained for.
        ranges: (low, high) by the name that the tensor's scale has in the quantized graph; low <= 0 <=
            high.
        calibration: The images behind the ranges that the training started from.
        audit: Whether they were fit for it. It says nothing of saturation: what the learned ranges cut
            is what training found best to cut.
    """

    schemes: tuple[str, ...]
    ranges: dict[str, tuple[float, float]]
    calibration: CalibrationRecord
    audit: CalibrationAudit

    def __post_init__(self) -> None:
        if not self.schemes or not self.ranges:
            raise ConfigError("Trained ranges are empty", expected="a scheme and a range at least")
        for name, (low, high) in self.ranges.items():
            # Written so that a NaN is refused too.
            if not -float("inf") < low <= 0 <= high < float("inf"):
                raise ConfigError(
                    f"The trained range of {name!r} isn't usable",
                    expected="low <= 0 <= high, both finite",
                    found=f"{low} to {high}",
                )
