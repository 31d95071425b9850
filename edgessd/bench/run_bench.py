"""Measure one model: load time, engine alone, whole pipeline, memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from edgessd.bench.frames import LoopSource
from edgessd.bench.latency import time_engine
from edgessd.bench.machine import this_machine
from edgessd.bench.results import BenchResult, ModelFacts, PipelineSpeed
from edgessd.bench.sensors import peak_resident_mb, resident_mb
from edgessd.core.arrays import ImageArray
from edgessd.pipeline.engines import open_detectors
from edgessd.pipeline.pipeline import Pipeline
from edgessd.pipeline.sources.source import Source
from edgessd.runtime.detector import Detector


def measure(
    open_detector: Callable[[int | None], Detector],
    *,
    path: Path,
    images: Sequence[ImageArray],
    images_name: str,
    source: Source | None = None,
    seconds: float = 5.0,
    threads: int | None = None,
    engines: int | None = None,
) -> tuple[BenchResult, Detector]:
    """Measure everything except accuracy.

    Args:
        open_detector: Loads the model with a number of threads, None for the target's number. Its duration
            and that of one run are the load time.
        path: Path of the model, for the record.
        images: Images for the engine's input, and for the pipeline without a `source`.
        images_name: Name of the images, for the record.
        source: Video or folder for the pipeline, each frame once.
        seconds: Least duration of the engine's runs and, without a source, of the pipeline's.
        threads: Threads of the engine alone, and of all engines of the pipeline together.
        engines: Number of engines of the pipeline; None takes that of `edgessd run` for a file.

    Returns:
        The result, and the loaded detector.
    """
    rss_before = resident_mb()
    start = time.perf_counter()
    detector = open_detector(threads)
    tensor, transform = detector.preprocess(images[0])
    detector.postprocess(detector.infer(tensor), transform)
    load_ms = (time.perf_counter() - start) * 1e3

    # `infer` may reuse its input buffer, so the loop has a copy of the tensor.
    tensor = detector.preprocess(images[0])[0].copy()
    engine = time_engine(detector.infer, tensor, seconds=seconds)
    frames = max(50, int(seconds * engine.fps * 0.8))
    pipeline = time_pipeline(
        open_detectors(open_detector, live=False, threads=threads, engines=engines),
        source or LoopSource(images, frames=frames, name=images_name),
    )
    # A board slows down as it warms up, so the pipeline is compared with the mean of the engine before and
    # after it.
    after = time_engine(detector.infer, tensor, seconds=seconds / 2)
    result = BenchResult(
        model=model_facts(detector, path),
        machine=this_machine(),
        load_ms=load_ms,
        engine=engine,
        pipeline=replace(pipeline, of_engine=2 * pipeline.fps / (engine.fps + after.fps)),
        rss_before_mb=rss_before,
        peak_rss_mb=peak_resident_mb(),
    )
    return result, detector


def time_pipeline(detectors: Sequence[Detector], source: Source) -> PipelineSpeed:
    """Run a pipeline without sinks over every frame of a source, and close its detectors."""
    with ExitStack() as closing:
        for detector in detectors:
            closing.callback(detector.close)
        pipeline = closing.enter_context(Pipeline(source, detectors))
        for _ in pipeline:
            pass
    return PipelineSpeed(
        source=source.name,
        frames=pipeline.meter.frames,
        engines=pipeline.engines,
        fps=pipeline.meter.fps,
        stages=pipeline.meter.latencies(),
    )


def model_facts(detector: Detector, path: Path) -> ModelFacts:
    """Collect the facts of a loaded model."""
    return ModelFacts(
        name=detector.name,
        path=str(path),
        target=detector.target,
        scheme=detector.model.scheme,
        engine_format=detector.model.engine_format,
        engine_details=detector.details,
        input_size=detector.input_size,
        labels=detector.labels,
        file_bytes=detector.model.engine_path.stat().st_size,
        notes=detector.notes,
    )
