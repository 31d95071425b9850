"""Compare the frame rate of a whole pipeline with that of its engine alone.

    python benchmarks/pipeline_throughput.py film.mp4 dist/codes-host dist/voc-host \\
        --json benchmarks/results/pipeline_throughput.json

For each model and number of threads, in turns and several times:

* the engine alone in a loop on one input;
* the pipeline over the whole film without a sink, with JSON lines, and with JSON lines and an annotated
  recording;
* a plain loop: read, preprocess, infer and postprocess one after the other.

Ratios are of the medians, against the engine alone with the same threads.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from edgessd.bench.latency import time_engine
from edgessd.bench.machine import this_machine
from edgessd.pipeline.engines import open_detectors
from edgessd.pipeline.pipeline import Pipeline
from edgessd.pipeline.sinks.json_lines import JsonLinesSink
from edgessd.pipeline.sinks.recorder import Recorder
from edgessd.pipeline.sinks.sink import Sink
from edgessd.pipeline.sources.catalog import open_source
from edgessd.pipeline.sources.source import Source
from edgessd.runtime.detector import Detector


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("film")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="duration of each round of the engine alone"
    )
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    results = {
        Path(model).name: {
            f"{threads} threads": measure(arguments.film, model, threads, arguments)
            for threads in arguments.threads
        }
        for model in arguments.models
    }
    if arguments.json:
        record = {"machine": asdict(this_machine()), "film": Path(arguments.film).name} | results
        arguments.json.write_text(json.dumps(record, indent=2) + "\n")


def measure(
    film: str, model: str, threads: int, arguments: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """Measure FPS of each variant and its share of the engine's; print each result at once."""
    ways: dict[str, Callable[[], float]] = {
        "engine alone": lambda: engine_fps(film, model, threads, arguments.seconds),
        "pipeline": lambda: pipeline_fps(film, model, threads, no_sinks),
        "pipeline, JSON lines": lambda: pipeline_fps(film, model, threads, json_lines),
        "pipeline, JSON lines, recording": lambda: pipeline_fps(
            film, model, threads, json_lines_and_recording
        ),
        "one after the other": lambda: serial_fps(film, model, threads),
    }
    fps: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.rounds):
        for name, way in ways.items():
            fps[name].append(way())
    medians = {name: statistics.median(values) for name, values in fps.items()}
    alone = medians["engine alone"]
    for name, median in medians.items():
        print(
            f"{Path(model).name:16} {threads} threads  {name:32} {median:7.1f} FPS "
            f"{median / alone:6.3f} of the engine"
        )
    return {
        name: {"fps": round(median, 2), "of_engine": round(median / alone, 4)}
        for name, median in medians.items()
    }


def engine_fps(film: str, model: str, threads: int, seconds: float) -> float:
    source = open_source(film)
    with Detector(model, threads=threads) as detector:
        tensor = detector.preprocess(next(iter(source)).image)[0].copy()
        source.close()
        return time_engine(detector.infer, tensor, seconds=seconds).fps


def pipeline_fps(
    film: str, model: str, threads: int, sinks: Callable[[Path, Source], Sequence[Sink]]
) -> float:
    source = open_source(film)
    detectors = open_detectors(
        lambda count: Detector(model, threads=count), live=False, threads=threads
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        Pipeline(source, detectors, sinks(Path(folder), source)) as pipeline,
    ):
        for _ in pipeline:
            pass
    for detector in detectors:
        detector.close()
    return pipeline.meter.fps


def serial_fps(film: str, model: str, threads: int) -> float:
    source = open_source(film)
    with Detector(model, threads=threads) as detector:
        finished = [time.perf_counter() for frame in source if detector(frame.image) is not None]
    source.close()
    return (len(finished) - 1) / (finished[-1] - finished[0])


def no_sinks(_folder: Path, _source: Source) -> list[Sink]:
    return []


def json_lines(folder: Path, _source: Source) -> list[Sink]:
    return [JsonLinesSink(str(folder / "out.jsonl"))]


def json_lines_and_recording(folder: Path, source: Source) -> list[Sink]:
    return [*json_lines(folder, source), Recorder(folder / "out.mp4", sources=[source])]


if __name__ == "__main__":
    main()
