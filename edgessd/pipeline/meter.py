"""Times of a pipeline's stages, in milliseconds, and what they add up to."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """Percentiles of a stage's duration in milliseconds, over `count` calls."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    mean_ms: float
    count: int

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Latency:
        """Summarise durations in seconds; all zeros where there are none."""
        values = np.fromiter(seconds, np.float64) * 1e3
        if not len(values):
            return cls(p50_ms=0.0, p95_ms=0.0, p99_ms=0.0, mean_ms=0.0, count=0)
        p50, p95, p99 = (float(p) for p in np.percentile(values, (50, 95, 99)))
        return cls(
            p50_ms=p50, p95_ms=p95, p99_ms=p99, mean_ms=float(values.mean()), count=len(values)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class StageSeconds:
    """How long one frame spent in each stage, in seconds."""

    prepare: float
    infer: float
    finish: float

    @property
    def total(self) -> float:
        """From the picture in memory to its detections."""
        return self.prepare + self.infer + self.finish


class Meter:
    """Collects the stage times of the newest frames; memory stays flat however long it runs.

    Args:
        window: Frames that the percentiles look back on.
    """

    def __init__(self, window: int = 10_000) -> None:
        self.frames = 0
        self._times: deque[StageSeconds] = deque(maxlen=window)
        self._finished: deque[float] = deque(maxlen=window)

    def add(self, seconds: StageSeconds, finished_at: float) -> None:
        """Record one frame, done at `time.perf_counter()` = `finished_at`."""
        self.frames += 1
        self._times.append(seconds)
        self._finished.append(finished_at)

    @property
    def fps(self) -> float:
        """Frames a second over the window, whatever held the pipeline up included."""
        if len(self._finished) < 2:
            return 0.0
        return (len(self._finished) - 1) / (self._finished[-1] - self._finished[0])

    def latencies(self) -> dict[str, Latency]:
        """Percentiles of each stage and of all three together."""
        return {
            stage: Latency.of(getattr(times, stage) for times in self._times)
            for stage in ("prepare", "infer", "finish", "total")
        }
