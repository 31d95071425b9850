"""Results of one benchmark of one model on one machine."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from edgessd.bench.accuracy import AccuracyReport
from edgessd.bench.latency import EngineTimes
from edgessd.bench.machine import MachineFacts
from edgessd.pipeline.meter import Latency


@dataclass(frozen=True, kw_only=True, slots=True)
class PipelineSpeed:
    """Results of the whole path from an image in memory to detections.

    Attributes:
        source: Name of the source.
        frames: Number of frames.
        engines: Number of engines that shared the frames.
        fps: Frames a second, with reading the source and passing frames between threads.
        stages: Latency of `prepare` (preprocessing), `infer`, `finish` (postprocessing), of their `total`,
            and the `delay` from capture.
        of_engine: Ratio of `fps` to the rate of the engine alone in a loop with the same threads.
    """

    source: str
    frames: int
    engines: int
    fps: float
    stages: dict[str, Latency]
    of_engine: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFacts:
    """Facts of the measured model.

    Attributes:
        name: Name for people.
        path: Path as given.
        target: Target of the bundle; `foreign` for any other file.
        scheme: Quantization scheme; `unknown` for a foreign model.
        engine_format: Format of the engine, e.g. `tflite` or `onnx`.
        engine_details: Backend, library version, threads, delegate.
        input_size: (width, height) pixels.
        labels: Class names.
        file_bytes: Size of the engine file in bytes.
        notes: Sentences for a reader of the results.
    """

    name: str
    path: str
    target: str
    scheme: str
    engine_format: str
    engine_details: dict[str, Any]
    input_size: tuple[int, int]
    labels: tuple[str, ...]
    file_bytes: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchResult:
    """Result of `edgessd bench` for one model.

    Attributes:
        model: Facts of the model.
        machine: Machine of the measurement.
        load_ms: Milliseconds to load the engine and run it once.
        engine: Runs of the engine alone.
        pipeline: Results of the whole path.
        rss_before_mb: Resident memory before the engine was loaded, in MB.
        peak_rss_mb: Peak memory up to the end of the pipeline run, before accuracy is measured, in MB.
        accuracy: Accuracy on a dataset; None without one.
    """

    model: ModelFacts
    machine: MachineFacts
    load_ms: float
    engine: EngineTimes
    pipeline: PipelineSpeed
    rss_before_mb: float
    peak_rss_mb: float
    accuracy: AccuracyReport | None = None

    def as_json(self) -> dict[str, Any]:
        """Return plain values for `--json` and results files. The keys are stable."""
        latency = self.engine.latency
        temperatures = [r.celsius for r in self.engine.readings if r.celsius is not None]
        record: dict[str, Any] = {
            "model": asdict(self.model),
            "machine": asdict(self.machine),
            "load_ms": round(self.load_ms, 2),
            "engine": {
                "p50_ms": round(latency.p50_ms, 4),
                "p95_ms": round(latency.p95_ms, 4),
                "p99_ms": round(latency.p99_ms, 4),
                "mean_ms": round(latency.mean_ms, 4),
                "fps": round(self.engine.fps, 2),
                "runs": latency.count,
            },
            "pipeline": {
                "source": self.pipeline.source,
                "frames": self.pipeline.frames,
                "engines": self.pipeline.engines,
                "fps": round(self.pipeline.fps, 2),
                "of_engine": round(self.pipeline.of_engine, 4),
                **{
                    f"{stage}_{name}": round(getattr(value, name), 4)
                    for stage, value in self.pipeline.stages.items()
                    for name in ("p50_ms", "p95_ms")
                },
            },
            "file_bytes": self.model.file_bytes,
            "rss_before_mb": round(self.rss_before_mb, 1),
            "peak_rss_mb": round(self.peak_rss_mb, 1),
            "max_celsius": max(temperatures) if temperatures else None,
        }
        if self.accuracy is not None:
            record["accuracy"] = self.accuracy.as_json()
        return record
