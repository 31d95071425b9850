"""Arithmetic of channels, and refusals of contradictory configurations."""

from __future__ import annotations

import msgspec
import pytest

from edgessd.core.errors import ConfigError
from edgessd.model.config import Extra, ModelConfig, last_channels, scaled_channels
from edgessd.model.new_detector import new_detector

LABELS = ("cat", "dog", "bird")


@pytest.mark.parametrize(
    ("channels", "width", "expected"),
    [
        (32, 1.0, 32),
        (24, 0.35, 8),  # 8.4 → 8
        (32, 0.35, 16),  # 11.2 → 8 would lose more than 10%, so 16
        (16, 0.35, 8),  # 5.6 → 8
        (24, 0.75, 24),  # 18 → 16 would lose 11%
        (96, 1.4, 136),  # 134.4
    ],
)
def test_channels_round_to_eighths_and_lose_at_most_a_tenth(
    channels: int, width: float, expected: int
) -> None:
    assert scaled_channels(channels, width) == expected


def test_last_layer_grows_only_above_width_one() -> None:
    assert [last_channels(width) for width in (0.35, 1.0, 1.4)] == [1280, 1280, 1792]


@pytest.mark.parametrize(
    "change",
    [
        {"width": 5.0},
        {"channel_multiple": 0},
        {"heads": ("separable",)},
        {"extras": (Extra(squeeze=8, channels=8),)},
    ],
)
def test_contradictory_configs_are_refused(change: dict[str, object]) -> None:
    config, _ = new_detector(LABELS)
    fields = msgspec.structs.asdict(config)
    with pytest.raises(ConfigError):
        ModelConfig(**(fields | change))
