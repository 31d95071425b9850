"""Signal-to-noise ratio of tensors, worked by hand; gains of channels have no effect."""

from __future__ import annotations

import numpy as np
import pytest

from edgessd.metrics.signal import EXACT_DB, SignalToNoise, channel_count


def decibels(reference: np.ndarray, *found: np.ndarray) -> float:
    signal = SignalToNoise.over(channel_count(reference.shape))
    for values in found:
        signal.add(reference, values)
    return signal.decibels


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(1, 3, 40, 50)).astype(np.float32)


def test_noise_of_a_tenth_is_twenty_decibels(values: np.ndarray) -> None:
    noise = np.random.default_rng(1).normal(size=values.shape)
    assert decibels(values, values + 0.1 * noise) == pytest.approx(20, abs=0.2)
    assert decibels(values, values + 0.1 * noise, values) == pytest.approx(23, abs=0.2)


def test_equalized_channels_are_the_same_signal(values: np.ndarray) -> None:
    gains = np.array([0.5, 3.0, 7.0], np.float32)[:, None, None]
    assert decibels(values, values * gains) > 100
    # Of (1, N, 4) the last axis has the channels.
    codes = values.reshape(1, -1, 4)
    assert decibels(codes, codes * np.array([4, 4, 1, 1], np.float32)) > 100


def test_the_bounds_of_the_ratio(values: np.ndarray) -> None:
    assert decibels(values, values) == pytest.approx(EXACT_DB)
    assert decibels(values, np.zeros_like(values)) == pytest.approx(0)
    assert decibels(np.zeros_like(values), values) == EXACT_DB


def test_one_dead_channel_counts_with_its_power(values: np.ndarray) -> None:
    broken = values.copy()
    broken[:, 0] = 0
    expected = 10 * np.log10((values**2).sum() / (values[:, 0] ** 2).sum())
    assert decibels(values, broken) == pytest.approx(expected, abs=1e-3)
