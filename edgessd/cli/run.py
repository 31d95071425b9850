"""`edgessd run`: a detector over a camera, a video or images."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgessd.cli.console import JsonFlag, people, print_json
from edgessd.core.errors import SourceError

if TYPE_CHECKING:
    from edgessd.pipeline.run import Pipeline, Result
    from edgessd.pipeline.sinks.sink import Sink

# How fast a recording of a folder of photos plays: slow enough to look at each.
_IMAGES_PER_SECOND = 2.0


def command(
    camera: Annotated[
        int | None, typer.Option(help="Number of a Video4Linux camera.", metavar="N")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            help="A video, image, folder, glob pattern or URL; csi:0 is a Jetson's own camera, "
            "gst:PIPELINE is GStreamer's."
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            help="A bundle, or a .tflite or .onnx. Default: the newest in dist/, else the starter."
        ),
    ] = None,
    record: Annotated[
        Path | None, typer.Option(help="Write an annotated video: .mp4, .mkv or .avi.")
    ] = None,
    jsonl: Annotated[
        str | None, typer.Option(help="Write one JSON object a frame; - is stdout.", metavar="FILE")
    ] = None,
    display: Annotated[bool, typer.Option("--display", help="Show a window.")] = False,
    threshold: Annotated[
        float | None, typer.Option(help="Lowest score shown. Default: the bundle's.", min=0, max=1)
    ] = None,
    max_frames: Annotated[
        int | None, typer.Option(help="Stop after so many frames.", min=1)
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of the engine.", min=1)] = None,
    backend: Annotated[str | None, typer.Option(help="Run on this backend only.")] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Labels of a foreign .tflite, one a line.")
    ] = None,
    width: Annotated[int | None, typer.Option(help="Wished camera width.")] = None,
    height: Annotated[int | None, typer.Option(help="Wished camera height.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Run a detector over a camera, a video or images.

    Example: edgessd run --source film.mp4 --record out.mp4 --jsonl out.jsonl
    """
    if (camera is None) == (source is None):
        raise typer.BadParameter("give either --camera N or --source FILE")
    if as_json and jsonl == "-":
        raise typer.BadParameter("--json and --jsonl - both want stdout")

    # FFmpeg tells of every codec it tries; what matters is said in edgessd's own errors. It reads this
    # when OpenCV first calls it.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

    from edgessd.pipeline.run import Pipeline
    from edgessd.runtime.detector import Detector
    from edgessd.runtime.starter import default_bundle

    chosen = model or default_bundle(Path.cwd())
    with Detector(chosen, backend=backend, threads=threads, labels=labels) as detector:
        if threshold is not None:
            detector.score_threshold = threshold
        opened = _open(camera, source, width, height)
        pipeline = Pipeline(opened, detector)
        with pipeline:
            for sink in _sinks(record, jsonl, display, pipeline):
                pipeline.add_sink(sink)
            previous = _stop_on_signals(pipeline)
            try:
                found, error = _show(pipeline, str(chosen), max_frames)
            finally:
                for number, handler in previous.items():
                    signal.signal(number, handler)
    summary = _summary(pipeline, str(chosen), found)
    if as_json:
        print_json(summary)
    _print_summary(pipeline, summary, record, jsonl)
    if error is not None:
        raise error


def _open(camera: int | None, source: str | None, width: int | None, height: int | None) -> Any:
    if camera is not None:
        from edgessd.pipeline.sources.camera import CameraSource

        return CameraSource(camera, width=width, height=height)
    from edgessd.pipeline.sources.catalog import open_source

    return open_source(str(source))


def _sinks(
    record: Path | None, jsonl: str | None, display: bool, pipeline: Pipeline
) -> Iterator[Sink]:
    """Open the sinks one by one, so that the pipeline closes those already open if one refuses."""
    if record is not None:
        from edgessd.pipeline.sinks.recorder import Recorder

        yield Recorder(record, fps=pipeline.source.fps or _IMAGES_PER_SECOND)
    if jsonl is not None:
        from edgessd.pipeline.sinks.json_lines import JsonLinesSink

        yield JsonLinesSink(jsonl)
    if display:
        from edgessd.pipeline.sinks.window import WindowSink

        yield WindowSink(pipeline.stop)


def _stop_on_signals(pipeline: Pipeline) -> dict[int, Any]:
    """End after the frame in hand on Ctrl-C or SIGTERM; a second Ctrl-C interrupts at once."""

    def stop(number: int, _frame: object) -> None:
        pipeline.stop()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    return {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}


def _show(
    pipeline: Pipeline, model: str, max_frames: int | None
) -> tuple[Counter[str], SourceError | None]:
    """Drain the pipeline under a progress line; a source that breaks off still gets its summary."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    found: Counter[str] = Counter()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[status]}"),
    )
    total = min((n for n in (pipeline.source.length, max_frames) if n is not None), default=None)
    with Progress(*columns, console=people(), transient=True) as progress:
        task = progress.add_task(
            f"{Path(model).name} on {pipeline.source.name}", total=total, status=""
        )
        try:
            for result in pipeline:
                found.update(result.detections.labels[i] for i in result.detections.class_ids)
                if pipeline.meter.frames % 5 == 1:
                    progress.update(task, status=_status(pipeline, result))
                progress.update(task, completed=pipeline.meter.frames)
                if max_frames is not None and pipeline.meter.frames >= max_frames:
                    break
        except SourceError as error:
            if pipeline.meter.frames == 0:
                raise
            return found, error
    return found, None


def _status(pipeline: Pipeline, result: Result) -> str:
    milliseconds = result.seconds.total * 1e3
    return f"{pipeline.meter.fps:.1f} FPS  {milliseconds:.1f} ms  {len(result.detections)} found"


def _summary(pipeline: Pipeline, model: str, found: Counter[str]) -> dict[str, Any]:
    latencies = pipeline.meter.latencies()
    return {
        "model": model,
        "source": pipeline.source.name,
        "decoder": getattr(pipeline.source, "decoder", None),
        "frames": pipeline.meter.frames,
        "dropped": pipeline.dropped,
        "skipped": [{"image": name, "reason": why} for name, why in pipeline.source.skipped],
        "fps": round(pipeline.meter.fps, 2),
        "latency_ms": {
            stage: {"p50": round(value.p50_ms, 3), "p95": round(value.p95_ms, 3)}
            for stage, value in latencies.items()
        },
        "detections": dict(found.most_common()),
        "engine": pipeline.detector.details,
    }


def _print_summary(
    pipeline: Pipeline, summary: dict[str, Any], record: Path | None, jsonl: str | None
) -> None:
    console = people()
    total = summary["latency_ms"]["total"]
    console.print(
        f"{summary['frames']} frames at {summary['fps']:.1f} FPS, "
        f"{total['p50']:.1f} ms (p95 {total['p95']:.1f} ms) a frame"
        + (f", {summary['dropped']} dropped" if summary["dropped"] else "")
    )
    names = ", ".join(f"{count} {label}" for label, count in summary["detections"].items())
    console.print(f"found {names or 'nothing'}")
    for entry in summary["skipped"]:
        console.print(f"skipped {entry['image']}: {entry['reason']}", style="yellow")
    for path in (record, jsonl):
        if path is not None and str(path) != "-" and Path(path).exists():
            console.print(f"wrote {path}")
