"""`edgessd bench`: measure latency, throughput, memory and accuracy on this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgessd.cli.console import JsonFlag, people, print_json
from edgessd.cli.model_options import BackendName, LabelFile

if TYPE_CHECKING:
    from edgessd.bench.report.page import Picture
    from edgessd.bench.results import BenchResult
    from edgessd.core.arrays import ImageArray
    from edgessd.runtime.detector import Detector


def command(
    model: Annotated[
        Path | None,
        typer.Option(
            help="Bundle, .tflite or .onnx. Default: the newest bundle in dist/, else the starter model."
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Labeled dataset; adds AP.", metavar="DIR")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="Split of the dataset. Default: test, else val, else all.", metavar="SPLIT"
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            help="Video or folder for the pipeline. Default: images in memory.", metavar="PATH"
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(help="Least duration of each measurement.", min=0.1, metavar="SECONDS")
    ] = 5.0,
    threads: Annotated[int | None, typer.Option(help="CPU threads of the engine.", min=1)] = None,
    engines: Annotated[
        int | None,
        typer.Option(help="Engines of the pipeline. Default: one a thread, as in `run`.", min=1),
    ] = None,
    backend: BackendName = None,
    labels: LabelFile = None,
    report: Annotated[
        Path | None, typer.Option(help="Write an HTML report with plots.", metavar="FILE.html")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Measure latency, FPS, memory and, with --data, accuracy on this machine.

    Example: edgessd bench --model dist/cells-raspberry-pi --data bccd --report bench.html
    """
    from edgessd.bench.run_bench import measure
    from edgessd.cli.evaluate import measure_accuracy
    from edgessd.cli.open_model import open_measured
    from edgessd.pipeline.sources.catalog import open_source
    from edgessd.runtime.detector import Detector
    from edgessd.runtime.starter import default_bundle

    chosen = model or default_bundle(Path.cwd())
    images, images_name = bench_images(source)
    result, detector = measure(
        lambda count: Detector(chosen, backend=backend, threads=count, labels=labels),
        path=chosen,
        images=images,
        images_name=images_name,
        source=open_source(source) if source else None,
        seconds=seconds,
        threads=threads,
        engines=engines,
    )
    with detector:
        pictures = found_in(detector, images[:6]) if report else ()
    if data is not None:
        opened = open_measured(chosen, threads=threads, backend=backend, label_file=labels)
        result = replace(result, accuracy=measure_accuracy(opened, data, split)[0])
    if report is not None:
        from edgessd.bench.report.page import Report, write_report

        title = f"{result.model.name} on {result.machine.device}"
        write_report(Report(title=title, results=(result,), pictures=pictures), report)
    if as_json:
        print_json(result.as_json())
    else:
        print_results([result])
    if report is not None:
        people().print(f"wrote {report}")


def bench_images(source: str | None) -> tuple[list[ImageArray], str]:
    """Read up to 16 images: of the source, else of the starter calibration set."""
    from itertools import islice

    from edgessd.bench.frames import pattern_image
    from edgessd.core.resources import resource_directory
    from edgessd.pipeline.sources.catalog import open_source

    folder = resource_directory("calibration") / "starter"
    if source is None and not folder.is_dir():
        return [pattern_image()], "a test pattern of 640x480"
    opened = open_source(source or str(folder))
    try:
        images = [frame.image for frame in islice(opened, 16)]
    finally:
        opened.close()
    size = f"{images[0].shape[1]}x{images[0].shape[0]}"
    return images, f"{len(images)} generated scenes of {size} in memory"


def found_in(detector: Detector, images: list[ImageArray]) -> tuple[Picture, ...]:
    """Run the detector on some images, for the report."""
    from edgessd.bench.report.page import sample

    return sample(detector.name, images, [detector(image) for image in images])


def print_results(results: list[BenchResult]) -> None:
    """Print the results for people, one column a model."""
    from rich.table import Table

    console = people()
    machine = results[0].machine
    table = Table(title=f"{machine.device}, {machine.cores} cores", title_justify="left")
    table.add_column("")
    for result in results:
        table.add_column(result.model.name, justify="right", overflow="fold")
    for name, cells in _rows(results):
        table.add_row(name, *cells)
    console.print(table)
    for result in results:
        details = ", ".join(f"{key} {value}" for key, value in result.model.engine_details.items())
        console.print(f"{result.model.name}: {details}", style="dim", soft_wrap=True)
        if result.accuracy is not None:
            console.print(result.accuracy.describe(), style="dim", soft_wrap=True)


def _rows(results: list[BenchResult]) -> list[tuple[str, list[str]]]:
    def row(name: str, cell: Callable[[BenchResult], str]) -> tuple[str, list[str]]:
        return name, [cell(result) for result in results]

    rows = [
        row("engine p50, ms", lambda f: f"{f.engine.latency.p50_ms:.2f}"),
        row("engine p95, ms", lambda f: f"{f.engine.latency.p95_ms:.2f}"),
        row("engine p99, ms", lambda f: f"{f.engine.latency.p99_ms:.2f}"),
        row("engine FPS", lambda f: f"{f.engine.fps:.1f}"),
        row("pipeline FPS", lambda f: f"{f.pipeline.fps:.1f}"),
        row("pipeline / engine", lambda f: f"{f.pipeline.of_engine:.2f}"),
        row("load, ms", lambda f: f"{f.load_ms:.0f}"),
        row("engine file, MB", lambda f: f"{f.model.file_bytes / 1e6:.2f}"),
        row("peak memory, MB", lambda f: f"{f.peak_rss_mb:.0f}"),
    ]
    if any(result.accuracy for result in results):
        rows += [
            row("AP", lambda f: f"{f.accuracy.metrics.AP:.4f}" if f.accuracy else "–"),
            row("AP50", lambda f: f"{f.accuracy.metrics.AP50:.4f}" if f.accuracy else "–"),
        ]
    return rows
