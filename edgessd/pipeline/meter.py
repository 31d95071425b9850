"""Times of a pipeline's stages, in milliseconds, and what they add up to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

# Columns of a meter's table, one row a frame. The first four are keys of `edgessd run --json`, of
# `edgessd bench --json` and labels of the Prometheus metrics, whose readers know preprocessing as
# "prepare" and postprocessing as "finish".
_COLUMNS = ("prepare", "infer", "finish", "delay", "finished_at")
_LATELY = 30


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

    preprocess: float
    infer: float
    postprocess: float

    @property
    def total(self) -> float:
        """From the picture in memory to its detections, waiting left out."""
        return self.preprocess + self.infer + self.postprocess


class Meter:
    """Keeps the times of the newest frames; memory stays flat however long it runs.

    Args:
        window: Frames that the percentiles look back on.
    """

    def __init__(self, window: int = 10_000) -> None:
        self.frames = 0
        self._table = np.zeros((window, len(_COLUMNS)))

    def add(self, seconds: StageSeconds, finished_at: float, delay: float = 0.0) -> None:
        """Record one frame.

        Args:
            seconds: Time in each stage.
            finished_at: `time.perf_counter()` when it was done.
            delay: Seconds since its capture.
        """
        row = (seconds.preprocess, seconds.infer, seconds.postprocess, delay, finished_at)
        self._table[self.frames % len(self._table)] = row
        self.frames += 1

    @property
    def fps(self) -> float:
        """Frames a second over the window, whatever held the pipeline up included."""
        return self._rate(len(self._table))

    @property
    def fps_lately(self) -> float:
        """Frames a second over the last few frames."""
        return self._rate(_LATELY)

    def latencies(self) -> dict[str, Latency]:
        """Percentiles of each stage, of their `total`, and of the `delay` from capture to result."""
        rows = self._table[: min(self.frames, len(self._table))].copy()
        columns = dict(zip(_COLUMNS, rows.T, strict=True))
        del columns["finished_at"]
        columns["total"] = columns["prepare"] + columns["infer"] + columns["finish"]
        return {stage: Latency.of(column) for stage, column in columns.items()}

    def _rate(self, count: int) -> float:
        """Frames a second from the oldest to the newest of the last `count`."""
        known = min(self.frames, len(self._table), count)
        if known < 2:
            return 0.0
        newest, oldest = (
            (self.frames - 1) % len(self._table),
            (self.frames - known) % len(self._table),
        )
        seconds = self._table[newest, -1] - self._table[oldest, -1]
        return float((known - 1) / seconds) if seconds > 0 else 0.0
