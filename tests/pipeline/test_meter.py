"""Percentiles and rates against numbers computed by hand."""

from __future__ import annotations

import pytest

from edgessd.pipeline.meter import Latency, Meter, StageSeconds


def test_percentiles_of_one_to_hundred_milliseconds() -> None:
    latency = Latency.of(milliseconds / 1e3 for milliseconds in range(1, 102))
    assert (latency.p50_ms, latency.p95_ms, latency.p99_ms) == pytest.approx((51, 96, 100))
    assert latency.mean_ms == pytest.approx(51)
    assert latency.count == 101


def test_a_meter_without_frames_gives_zeros() -> None:
    assert Latency.of([]).p99_ms == 0
    assert Meter().fps == 0


def test_rate_counts_the_gaps_between_frames() -> None:
    meter = Meter(window=3)
    seconds = StageSeconds(preprocess=0.001, infer=0.002, postprocess=0.003)
    for finished_at in (0.0, 9.0, 10.0, 10.5):
        meter.add(seconds, finished_at)
    # The window holds the last three frames: two gaps in 1.5 seconds.
    assert meter.fps == pytest.approx(2 / 1.5)
    assert meter.frames == 4
    assert meter.latencies()["total"].p50_ms == pytest.approx(6)
