"""Meter of the frame rate and of the stages' durations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

# Columns of a meter's table, which has one row per frame. The first four are keys of `edgessd run --json`, of
# `edgessd bench --json` and labels of the Prometheus metrics, whose readers know preprocessing as
# "prepare" and postprocessing as "finish".
_COLUMNS = ("prepare", "infer", "finish", "delay", "finished_at")
_RECENT_FRAMES = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """Percentiles and mean of a stage's duration in milliseconds, over `count` frames."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    mean_ms: float
    count: int

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Latency:
        """Summarize durations in seconds. Without durations all values are 0."""
        values = np.fromiter(seconds, np.float64) * 1e3
        if not len(values):
            return cls(p50_ms=0.0, p95_ms=0.0, p99_ms=0.0, mean_ms=0.0, count=0)
        p50, p95, p99 = (float(p) for p in np.percentile(values, (50, 95, 99)))
        return cls(
            p50_ms=p50, p95_ms=p95, p99_ms=p99, mean_ms=float(values.mean()), count=len(values)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class StageSeconds:
    """Durations of one frame's stages, in seconds."""

    preprocess: float
    infer: float
    postprocess: float

    @property
    def total(self) -> float:
        """Sum of the stages, without the time between them."""
        return self.preprocess + self.infer + self.postprocess


class Meter:
    """Keeps the times of the last frames. Its memory is constant.

    Args:
        window: Number of frames over which percentiles are computed.
    """

    def __init__(self, window: int = 10_000) -> None:
        self.frames = 0
        self._table = np.zeros((window, len(_COLUMNS)))

    def add(self, seconds: StageSeconds, finished_at: float, delay: float = 0.0) -> None:
        """Record one frame.

        Args:
            seconds: Duration of each stage.
            finished_at: `time.perf_counter()` when its result was ready.
            delay: Seconds from capture to result.
        """
        row = (seconds.preprocess, seconds.infer, seconds.postprocess, delay, finished_at)
        self._table[self.frames % len(self._table)] = row
        self.frames += 1

    @property
    def fps(self) -> float:
        """Frames per second over the window; pauses count."""
        return self._rate(len(self._table))

    @property
    def recent_fps(self) -> float:
        """Frames per second over the last 30 frames."""
        return self._rate(_RECENT_FRAMES)

    def latencies(self) -> dict[str, Latency]:
        """Return the latency of each stage, of their `total`, and of the `delay` from capture to result."""
        rows = self._table[: min(self.frames, len(self._table))].copy()
        columns = dict(zip(_COLUMNS, rows.T, strict=True))
        del columns["finished_at"]
        columns["total"] = columns["prepare"] + columns["infer"] + columns["finish"]
        return {stage: Latency.of(column) for stage, column in columns.items()}

    def _rate(self, count: int) -> float:
        """Return the frames per second over the last `count` frames."""
        known = min(self.frames, len(self._table), count)
        if known < 2:
            return 0.0
        newest, oldest = (
            (self.frames - 1) % len(self._table),
            (self.frames - known) % len(self._table),
        )
        seconds = self._table[newest, -1] - self._table[oldest, -1]
        return float((known - 1) / seconds) if seconds > 0 else 0.0
