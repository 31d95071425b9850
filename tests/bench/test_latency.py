"""Runs of an engine: their number, the warm-up, and what percentiles are taken of."""

from __future__ import annotations

import numpy as np
import pytest

from edgessd.bench.latency import EngineTimes, time_engine


def test_the_warm_up_is_not_measured() -> None:
    calls: list[int] = []
    tensor = np.arange(3)
    times = time_engine(
        lambda given: calls.append(id(given)),
        tensor,
        seconds=0,
        minimum_runs=7,
        warmup_runs=3,
    )
    assert len(times.seconds) == 7
    assert calls == [id(tensor)] * 10
    assert len(times.readings) == 1


def test_rate_and_percentiles_are_those_of_all_runs() -> None:
    times = EngineTimes(seconds=(0.001, 0.002, 0.003), readings=())
    assert times.fps == pytest.approx(500)
    assert times.latency.p50_ms == pytest.approx(2)
    assert times.latency.count == 3
