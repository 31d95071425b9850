"""Every range method on distributions whose answer is known."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from edgessd.calibrate.observers import TensorObserver
from edgessd.calibrate.table import TensorStatistics
from edgessd.quantize.ranges.catalog import METHODS, activation_range
from edgessd.quantize.recipe import RangeMethod, RangeRule
from edgessd.quantize.schemes import AFFINE, SYMMETRIC, Scheme


def _statistics(*images: np.ndarray) -> TensorStatistics:
    observer = TensorObserver()
    for image in images:
        values = np.asarray(image, np.float32)
        observer.add(float(values.min()), float(values.max()), values)
    return TensorStatistics.of(observer)


def _normal(count: int = 200_000, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, count)


def test_catalog_holds_every_method_of_the_recipe() -> None:
    assert set(METHODS) == set(get_args(RangeMethod))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scheme", [AFFINE, SYMMETRIC], ids=lambda scheme: scheme.name)
def test_range_stays_within_what_was_seen(method: RangeMethod, scheme: Scheme) -> None:
    random = np.random.default_rng(1)
    statistics = _statistics(*(random.normal(0.5, 1 + image, 2000) for image in range(4)))
    low, high = activation_range(statistics, RangeRule(method=method), scheme)
    assert statistics.minimum <= low < 0 < high <= statistics.maximum


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scheme", [AFFINE, SYMMETRIC], ids=lambda scheme: scheme.name)
def test_tensor_that_is_always_zero(method: RangeMethod, scheme: Scheme) -> None:
    statistics = _statistics(np.zeros(100), np.zeros(100))
    low, high = activation_range(statistics, RangeRule(method=method), scheme)
    assert (low, high) == pytest.approx((0, 0))


@pytest.mark.parametrize("method", METHODS)
def test_one_sided_tensor_keeps_zero_as_its_low_end(method: RangeMethod) -> None:
    statistics = _statistics(np.maximum(_normal(), 0))
    low, _ = activation_range(statistics, RangeRule(method=method), AFFINE)
    assert low == pytest.approx(0, abs=statistics.bin_width)


def test_minmax_and_average() -> None:
    statistics = _statistics([-1.0, 2.0], [-3.0, 8.0])
    assert activation_range(statistics, RangeRule(method="minmax"), AFFINE) == (-3.0, 8.0)
    assert activation_range(statistics, RangeRule(method="average"), AFFINE) == (-2.0, 5.0)
    # Standard deviations over the two images: 1 of the minima, 3 of the maxima.
    rule = RangeRule(method="average", deviations=0.5)
    assert activation_range(statistics, rule, AFFINE) == (-2.5, 6.5)


def test_percentile_of_a_uniform_tensor() -> None:
    statistics = _statistics(np.linspace(0, 10, 100_001))
    rule = RangeRule(method="percentile", percentile=90.0)
    # Affine cuts 5% on both sides, symmetric 10% of the magnitudes.
    assert activation_range(statistics, rule, AFFINE) == pytest.approx((0.5, 9.5), abs=0.01)
    low, high = activation_range(statistics, rule, SYMMETRIC)
    assert (low, high) == pytest.approx((0.0, 9.0), abs=0.01)


def test_percentile_100_is_everything() -> None:
    statistics = _statistics(_normal())
    rule = RangeRule(method="percentile", percentile=100.0)
    low, high = activation_range(statistics, rule, AFFINE)
    assert low == pytest.approx(statistics.minimum, abs=statistics.bin_width)
    assert high == pytest.approx(statistics.maximum, abs=statistics.bin_width)


@pytest.mark.parametrize("scheme", [AFFINE, SYMMETRIC], ids=lambda scheme: scheme.name)
def test_mse_is_no_worse_than_any_other_method(scheme: Scheme) -> None:
    values = np.concatenate([_normal(), [30.0]]).astype(np.float32)
    statistics = _statistics(values)

    def error(method: RangeMethod) -> float:
        params = scheme.params(*activation_range(statistics, RangeRule(method=method), scheme))
        steps = np.clip(np.rint(values / params.scale) + params.zero_point, -128, 127)
        return float(np.square((steps - params.zero_point) * params.scale - values).mean())

    found = {method: error(method) for method in METHODS}
    assert found["mse"] <= min(found.values()) * 1.02
    # A single value of 30 isn't worth steps of 30 / 127 for 200,000 others around 0.
    assert found["mse"] < found["minmax"] * 0.8


def test_mse_keeps_a_uniform_tensor_whole() -> None:
    statistics = _statistics(np.linspace(-1, 1, 100_001))
    low, high = activation_range(statistics, RangeRule(method="mse"), AFFINE)
    # Clipping a flat distribution always costs more than it saves.
    assert (low, high) == pytest.approx((-1, 1), abs=0.03)


def test_entropy_clips_a_far_outlier_only() -> None:
    rule = RangeRule(method="entropy")
    uniform = _statistics(np.linspace(-1, 1, 100_001))
    assert activation_range(uniform, rule, SYMMETRIC) == pytest.approx((-1, 1), abs=0.05)
    outlier = _statistics(np.concatenate([_normal(), [20.0, -20.0]]))
    _, high = activation_range(outlier, rule, SYMMETRIC)
    assert high < 10
