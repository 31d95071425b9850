"""Measure the latency of an engine alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from edgessd.bench.sensors import Reading, read_sensors
from edgessd.pipeline.meter import Latency
from edgessd.runtime.backend import Tensor

_SENSOR_PERIOD_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineTimes:
    """Measured runs of an engine.

    Attributes:
        seconds: Duration of each run after the warm-up, in order.
        readings: Sensor readings, two a second during the runs.
    """

    seconds: tuple[float, ...]
    readings: tuple[Reading, ...]

    @property
    def latency(self) -> Latency:
        """Percentiles over all runs."""
        return Latency.of(self.seconds)

    @property
    def fps(self) -> float:
        """Runs a second, back to back."""
        return len(self.seconds) / sum(self.seconds)


def time_engine(
    infer: Callable[[Tensor], object],
    tensor: Tensor,
    *,
    seconds: float,
    minimum_runs: int = 50,
    warmup_runs: int = 10,
) -> EngineTimes:
    """Run an engine back to back on one input.

    Args:
        infer: The backend's `infer`.
        tensor: Input; an integer engine takes the same time for every input.
        seconds: Least duration, so that a board reaches its working temperature.
        minimum_runs: Least number of runs, so that a p99 has enough values.
        warmup_runs: Runs before the measurement, for caches, thread pools and lazy allocations.
    """
    for _ in range(warmup_runs):
        infer(tensor)
    durations: list[float] = []
    readings = [read_sensors()]
    begin = time.perf_counter()
    while True:
        start = time.perf_counter()
        infer(tensor)
        end = time.perf_counter()
        durations.append(end - start)
        if end - readings[-1].seconds >= _SENSOR_PERIOD_SECONDS:
            readings.append(read_sensors())
        if end - begin >= seconds and len(durations) >= minimum_runs:
            return EngineTimes(seconds=tuple(durations), readings=tuple(readings))
