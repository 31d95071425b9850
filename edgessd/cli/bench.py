"""`edgessd bench`: latency, throughput, memory and accuracy on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgessd.cli.console import JsonFlag, people, print_json

if TYPE_CHECKING:
    from edgessd.bench.figures import BenchFigures
    from edgessd.bench.report.page import Picture
    from edgessd.pipeline.frames import Image
    from edgessd.runtime.detector import Detector


def command(
    model: Annotated[
        Path | None,
        typer.Option(
            help="A bundle, or a .tflite or .onnx. Default: the newest in dist/, else the starter."
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="A labelled dataset; adds AP.", metavar="DIR")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Split of the dataset. Default: test, else val, else all.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Measure the pipeline on this video or folder.")
    ] = None,
    seconds: Annotated[
        float, typer.Option(help="Least duration of each measurement.", min=0.1)
    ] = 5.0,
    threads: Annotated[int | None, typer.Option(help="Threads of the engine.", min=1)] = None,
    backend: Annotated[str | None, typer.Option(help="Run on this backend only.")] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Labels of a foreign .tflite, one a line.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write an HTML report with plots.", metavar="FILE.html")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Measure latency, FPS, memory and, with --data, accuracy on this machine.

    Example: edgessd bench --model dist/cells-raspberry-pi --data bccd --report bench.html
    """
    from edgessd.bench.measure import measure
    from edgessd.pipeline.sources.catalog import open_source
    from edgessd.runtime.detector import Detector
    from edgessd.runtime.starter import default_bundle

    chosen = model or default_bundle(Path.cwd())
    images, images_name = bench_images(source)
    figures, detector = measure(
        lambda: Detector(chosen, backend=backend, threads=threads, labels=labels),
        path=chosen,
        images=images,
        images_name=images_name,
        source=open_source(source) if source else None,
        seconds=seconds,
    )
    with detector:
        if data is not None:
            figures = with_accuracy(figures, detector, data, split)
        pictures = found_in(detector, images[:6]) if report else ()
    if report is not None:
        from edgessd.bench.report.page import Report, write_report

        title = f"{figures.model.name} on {figures.machine.device}"
        write_report(Report(title=title, figures=(figures,), pictures=pictures), report)
    if as_json:
        print_json(figures.as_json())
    else:
        print_figures([figures])
    if report is not None:
        people().print(f"wrote {report}")


def bench_images(source: str | None) -> tuple[list[Image], str]:
    """Up to 16 pictures in memory: of the source, else of the starter calibration set."""
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


def with_accuracy(
    figures: BenchFigures, detector: Detector, data: Path, split: str | None
) -> BenchFigures:
    """Add AP on a labelled dataset."""
    raise NotImplementedError


def found_in(detector: Detector, images: list[Image]) -> tuple[Picture, ...]:
    """What the detector finds in some pictures, for the report."""
    from edgessd.bench.report.page import sample

    return sample(detector.name, images, [detector(image) for image in images])


def print_figures(all_figures: list[BenchFigures]) -> None:
    """One row a model, for people."""
    from rich.table import Table

    console = people()
    machine = all_figures[0].machine
    table = Table(title=f"{machine.device}, {machine.cores} cores", title_justify="left")
    table.add_column("model")
    for name in (
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "engine FPS",
        "pipeline FPS",
        "AP",
        "AP50",
        "MB",
        "peak MB",
    ):
        table.add_column(name, justify="right")
    for figures in all_figures:
        latency, accuracy = figures.engine.latency, figures.accuracy
        table.add_row(
            figures.model.name,
            f"{latency.p50_ms:.2f}",
            f"{latency.p95_ms:.2f}",
            f"{latency.p99_ms:.2f}",
            f"{figures.engine.fps:.1f}",
            f"{figures.pipeline.fps:.1f}",
            f"{accuracy.metrics.AP:.4f}" if accuracy else "–",
            f"{accuracy.metrics.AP50:.4f}" if accuracy else "–",
            f"{figures.model.file_bytes / 1e6:.2f}",
            f"{figures.peak_rss_mb:.0f}",
        )
    console.print(table)
    for figures in all_figures:
        details = ", ".join(f"{key} {value}" for key, value in figures.model.engine_details.items())
        console.print(f"{figures.model.name}: {details}", style="dim")
