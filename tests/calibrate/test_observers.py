"""Streaming statistics equal those of all values at once."""

from __future__ import annotations

import numpy as np
import pytest

from edgessd.calibrate.observers import Moments, StreamingHistogram, TensorObserver


def _streamed(parts: list[np.ndarray], bins: int = 64) -> StreamingHistogram:
    histogram = StreamingHistogram(bins)
    for part in parts:
        histogram.add(part)
    return histogram


@pytest.mark.parametrize("seed", range(5))
def test_histogram_that_widened_equals_numpy_on_everything(seed: int) -> None:
    random = np.random.default_rng(seed)
    # Each part reaches further than the one before, now on one side and now on the other.
    parts = [
        (random.normal(random.uniform(-3, 3), 1, 1000) * 3.0**step).astype(np.float32)
        for step in range(6)
    ]
    histogram = _streamed(parts)
    everything = np.concatenate(parts)
    expected, _ = np.histogram(everything, bins=histogram.edges)
    np.testing.assert_array_equal(histogram.counts, expected)
    assert histogram.total == everything.size


def test_bins_merge_in_aligned_pairs() -> None:
    histogram = StreamingHistogram(bins=4)
    # Span 4 over 4 bins: width 1, bins start at 1 (values 1, 2, 3, 4.5).
    histogram.add(np.array([1.0, 2.0, 3.0, 4.5], np.float32))
    assert (histogram.width, histogram.first) == (1.0, 1)
    assert histogram.counts.tolist() == [1, 1, 1, 1]
    # 7.5 doesn't fit next to 1: bins of 2 start at 0 and hold [0, 2), [2, 4), [4, 6), [6, 8).
    histogram.add(np.array([7.5], np.float32))
    assert (histogram.width, histogram.first) == (2.0, 0)
    assert histogram.counts.tolist() == [1, 2, 1, 1]


def test_window_slides_without_losing_resolution() -> None:
    histogram = _streamed([np.array([0.0, 1.0], np.float32)], bins=64)
    width = histogram.width
    histogram.add(np.array([-0.25], np.float32))
    assert histogram.width == width
    assert histogram.edges[0] <= -0.25
    assert histogram.total == 3


@pytest.mark.parametrize("value", [0.0, 5.0, -1e-12, 3e7])
def test_tensor_of_one_value(value: float) -> None:
    histogram = _streamed([np.full(10, value, np.float32), np.array([100.0, -100.0], np.float32)])
    assert histogram.total == 12
    expected, _ = np.histogram(
        np.array([value] * 10 + [100.0, -100.0], np.float32), bins=histogram.edges
    )
    np.testing.assert_array_equal(histogram.counts, expected)


def test_zero_lies_on_an_edge() -> None:
    histogram = _streamed([np.array([-3.3, 7.1], np.float32)])
    assert 0.0 in histogram.edges


def test_odd_number_of_bins_is_refused() -> None:
    with pytest.raises(ValueError, match="even"):
        StreamingHistogram(bins=5)


def test_moments_equal_numpy() -> None:
    values = np.random.default_rng(0).normal(1e3, 0.1, 200)
    moments = Moments()
    for value in values:
        moments.add(float(value))
    assert moments.mean == pytest.approx(values.mean(), rel=1e-12)
    assert moments.deviation == pytest.approx(values.std(), rel=1e-6)


def test_observer_keeps_exact_extremes_beside_sampled_counts() -> None:
    observer = TensorObserver()
    observer.add(-9.0, 4.0, np.array([0.0, 1.0], np.float32))
    observer.add(-1.0, 6.0, np.array([2.0], np.float32))
    assert (observer.minimum, observer.maximum) == (-9.0, 6.0)
    assert (observer.minima.mean, observer.maxima.mean) == (-5.0, 5.0)
    assert observer.histogram.total == 3
    assert observer.histogram.edges[0] <= -9.0
