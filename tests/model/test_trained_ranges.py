"""Trained ranges without a usable range are refused."""

from __future__ import annotations

import pytest
from qat_comparison import AUDIT

from edgessd.bundle.manifest import CalibrationRecord
from edgessd.core.errors import ConfigError
from edgessd.model.trained_ranges import TrainedRanges


@pytest.mark.parametrize("limits", [(0.5, 1.0), (-1.0, -0.5), (-1.0, float("nan"))])
def test_ranges_that_cannot_be_are_refused(limits: tuple[float, float]) -> None:
    record = CalibrationRecord(recipe="test", images=16, images_sha256="0" * 64)
    with pytest.raises(ConfigError, match="stem"):
        TrainedRanges(schemes=("affine",), ranges={"stem": limits}, calibration=record, audit=AUDIT)
    with pytest.raises(ConfigError, match="empty"):
        TrainedRanges(schemes=("affine",), ranges={}, calibration=record, audit=AUDIT)
