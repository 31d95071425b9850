"""`edgessd run`: a detector over cameras, videos or images."""

from __future__ import annotations

import logging
import os
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgessd.cli import run_output_options as out
from edgessd.cli.camera_table import list_machine_cameras
from edgessd.cli.console import JsonFlag, people, print_json
from edgessd.cli.logs import LogForm, seconds_between_lines, start_logging
from edgessd.cli.run_live import LiveOptions
from edgessd.cli.run_sinks import MqttOptions, SinkOptions, open_sinks
from edgessd.cli.run_sources import (
    Fps,
    FreezeSeconds,
    Height,
    ListCameras,
    Loop,
    NoReconnect,
    Pace,
    PixelFormat,
    RtspTransport,
    SourceOptions,
    StallSeconds,
    Wait,
    Width,
    open_sources,
)
from edgessd.cli.run_tally import Tally, sentences
from edgessd.core.errors import EdgessdError, SinkError, SourceError

if TYPE_CHECKING:
    from edgessd.pipeline.result import Result
    from edgessd.pipeline.run import Pipeline
    from edgessd.pipeline.sinks.sink import LeavesFiles

_log = logging.getLogger(__name__)


def command(
    camera: Annotated[
        list[int] | None,
        typer.Option(help="Number of a Video4Linux camera. Repeatable.", metavar="N"),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="A video, image, folder, glob pattern or URL; csi:0 is the board's own camera, "
            "gst:PIPELINE is GStreamer's, pattern:640x480@30 is generated. Repeatable."
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            help="A bundle, or a .tflite or .onnx. Default: the newest in dist/, else the starter."
        ),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Lowest score shown. Default: the bundle's.", min=0, max=1)
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(help="Look for these classes only, separated by commas.", metavar="LABELS"),
    ] = None,
    latency: Annotated[
        bool, typer.Option("--latency", help="Print each stage's time and the age of results.")
    ] = False,
    max_frames: Annotated[
        int | None, typer.Option(help="Stop after so many frames.", min=1)
    ] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads of the engines.", min=1)] = None,
    engines: Annotated[
        int | None,
        typer.Option(
            help="Engines that share the frames. Default: one for a camera, one a thread for a file.",
            min=1,
        ),
    ] = None,
    backend: Annotated[str | None, typer.Option(help="Run on this backend only.")] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Labels of a foreign .tflite, one a line.")
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Serve a page with the stream, plots and controls.")
    ] = False,
    host: Annotated[
        str | None,
        typer.Option(
            help="Address of the live page. Default: this machine alone. With another, such as "
            "0.0.0.0, viewers need a token."
        ),
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port of the live page. Default: 8080.", min=0, max=65535)
    ] = None,
    log: Annotated[
        LogForm, typer.Option(help="Messages as text, or as one JSON object a line.")
    ] = LogForm.text,
    width: Width = None,
    height: Height = None,
    fps: Fps = None,
    pixel_format: PixelFormat = None,
    pace: Pace = False,
    loop: Loop = False,
    rtsp_transport: RtspTransport = "tcp",
    no_reconnect: NoReconnect = False,
    wait: Wait = False,
    stall_seconds: StallSeconds = 10.0,
    freeze_seconds: FreezeSeconds = 60.0,
    list_cameras: ListCameras = False,
    track: out.Track = False,
    regions: out.RegionsFile = None,
    record: out.Record = None,
    record_minutes: out.RecordMinutes = None,
    jsonl: out.JsonLines = None,
    csv: out.Csv = None,
    snapshots: out.Snapshots = None,
    snapshots_on: out.SnapshotsOn = None,
    snapshots_every: out.SnapshotsEvery = None,
    webhook: out.Webhook = None,
    webhook_on: out.WebhookOn = None,
    metrics: out.MetricsAt = None,
    display: out.Display = False,
    mqtt: out.Mqtt = None,
    mqtt_topic: out.MqttTopic = None,
    mqtt_ca: out.MqttCa = None,
    mqtt_cert: out.MqttCert = None,
    mqtt_key: out.MqttKey = None,
    mqtt_qos: out.MqttQos = None,
    home_assistant: out.HomeAssistant = False,
    as_json: JsonFlag = False,
) -> None:
    """Run a detector over cameras, videos or images.

    Example: edgessd run --source film.mp4 --record out.mp4 --jsonl out.jsonl
    """
    if list_cameras:
        list_machine_cameras(as_json=as_json)
        return
    if not camera and not source:
        raise typer.BadParameter("give --camera N or --source FILE")
    if not live and (host is not None or port is not None):
        raise typer.BadParameter("--host and --port belong to --live")
    start_logging(log)

    # FFmpeg tells of every codec it tries; what matters is said in edgessd's own errors. It reads this
    # when OpenCV first calls it.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

    from edgessd.pipeline.engines import open_detectors
    from edgessd.pipeline.heartbeat import Heartbeat
    from edgessd.pipeline.notify import Notifier
    from edgessd.pipeline.regions import read_regions
    from edgessd.pipeline.run import Pipeline
    from edgessd.pipeline.sinks.sink import LeavesFiles
    from edgessd.pipeline.tracking import Tracking
    from edgessd.runtime.detector import Detector
    from edgessd.runtime.starter import default_bundle

    chosen = model or default_bundle(Path.cwd())
    sinks = SinkOptions(
        tracking=track or regions is not None,
        regions=regions is not None,
        record=record,
        record_minutes=record_minutes,
        jsonl=jsonl,
        csv=csv,
        snapshots=snapshots,
        snapshots_on=snapshots_on and snapshots_on.value,
        snapshots_every=snapshots_every,
        webhook=webhook,
        webhook_on=webhook_on and webhook_on.value,
        metrics=metrics,
        display=display,
        mqtt=MqttOptions(
            url=mqtt,
            topic=mqtt_topic,
            ca=mqtt_ca,
            cert=mqtt_cert,
            key=mqtt_key,
            qos=mqtt_qos,
            home_assistant=home_assistant,
        ),
        live=LiveOptions(host=host, port=port, model=str(chosen)) if live else None,
    )
    if as_json and sinks.stdout:
        raise typer.BadParameter("--json wants stdout for itself")
    counted = read_regions(regions) if regions else None
    sources = SourceOptions(
        cameras=tuple(camera or ()),
        sources=tuple(source or ()),
        width=width,
        height=height,
        fps=fps,
        pixel_format=pixel_format,
        pace=pace,
        loop=loop,
        rtsp_transport=rtsp_transport,
        reconnect=not no_reconnect,
        wait=wait,
        stall_seconds=stall_seconds,
        freeze_seconds=freeze_seconds,
    )
    with ExitStack() as closing:
        opened = open_sources(sources)
        for each in opened:
            closing.callback(each.close)
        detectors = open_detectors(
            lambda count: Detector(chosen, backend=backend, threads=count, labels=labels),
            live=any(each.live for each in opened),
            threads=threads,
            engines=engines,
        )
        for detector in detectors:
            closing.callback(detector.close)
        if counted is not None:
            counted.require_labels(detectors[0].labels)
        tracking = (lambda: Tracking(counted)) if sinks.tracking else None
        pipeline = closing.enter_context(Pipeline(opened, detectors, tracking=tracking))
        if threshold is not None:
            pipeline.controls.score_threshold = threshold
        if classes is not None:
            pipeline.controls.classes = frozenset(name.strip() for name in classes.split(","))
        written: list[LeavesFiles] = []
        for sink in open_sinks(sinks, pipeline):
            pipeline.add_sink(sink)
            if isinstance(sink, LeavesFiles):
                written.append(sink)
        previous = _stop_on_signals(pipeline)
        heartbeat = Heartbeat(
            pipeline, Notifier.from_environment(), log_seconds=seconds_between_lines(log)
        )
        try:
            with heartbeat:
                found, error = _show(pipeline, str(chosen), max_frames)
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
    summary = _summary(pipeline, str(chosen), found)
    if as_json:
        print_json(summary)
    _print_summary(pipeline, summary, written, latency=latency)
    if people().quiet:
        _log.info("%s ended", chosen, extra={"edgessd": {"event": "finished", **summary}})
    error = error or _first_failed(pipeline)
    if error is not None:
        raise error


def _stop_on_signals(pipeline: Pipeline) -> dict[int, Any]:
    """End after the frame in hand on Ctrl-C or SIGTERM; a second Ctrl-C interrupts at once."""

    def stop(number: int, _frame: object) -> None:
        pipeline.stop()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    return {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}


def _show(
    pipeline: Pipeline, model: str, max_frames: int | None
) -> tuple[Tally, EdgessdError | None]:
    """Drain the pipeline under a progress line; a source that breaks off still gets its summary."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    found = Tally()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[status]}"),
    )
    names = ", ".join(source.name for source in pipeline.sources)
    console = people()
    with Progress(*columns, console=console, transient=True, disable=console.quiet) as progress:
        task = progress.add_task(
            f"{Path(model).name} on {names}", total=_expected(pipeline, max_frames), status=""
        )
        try:
            for result in pipeline:
                found.add(result)
                if pipeline.meter.frames % 5 == 1:
                    progress.update(task, status=_status(pipeline, result))
                progress.advance(task)
                if max_frames is not None and progress.tasks[0].completed >= max_frames:
                    break
        except SourceError as error:
            if pipeline.meter.frames == 0:
                raise
            return found, error
    return found, None


def _expected(pipeline: Pipeline, max_frames: int | None) -> int | None:
    """Frames there will be, where that is known."""
    lengths = [source.length for source in pipeline.sources]
    known = None if None in lengths else sum(length or 0 for length in lengths)
    return min((n for n in (known, max_frames) if n is not None), default=None)


def _status(pipeline: Pipeline, result: Result) -> str:
    milliseconds = result.seconds.total * 1e3
    return (
        f"{pipeline.meter.fps_lately:.1f} FPS  {milliseconds:.1f} ms  "
        f"{len(result.detections)} found"
    )


def _first_failed(pipeline: Pipeline) -> SinkError | None:
    """An output that ended early leaves something undone: the command must not end with 0."""
    for sink in pipeline.status().sinks:
        if sink.failed is not None:
            return SinkError(f"{sink.name} ended early", found=sink.failed)
    return None


def _summary(pipeline: Pipeline, model: str, found: Tally) -> dict[str, Any]:
    status = pipeline.status()
    return {
        "model": model,
        "source": pipeline.sources[0].name,
        "decoder": getattr(pipeline.sources[0], "decoder", None),
        "frames": pipeline.meter.frames,
        "dropped": pipeline.dropped,
        "skipped": [
            {"image": name, "reason": why}
            for source in pipeline.sources
            for name, why in source.skipped
        ],
        "fps": round(pipeline.meter.fps, 2),
        "latency_ms": {
            stage: {"p50": round(value.p50_ms, 3), "p95": round(value.p95_ms, 3)}
            for stage, value in status.stages.items()
        },
        "streams": [
            {
                "source": stream.name,
                "frames": stream.frames,
                "dropped": stream.dropped,
                "reconnects": stream.reconnects,
                "fps": round(meter.fps, 2),
                "delay_ms": {
                    "p50": round(stream.delay.p50_ms, 3),
                    "p95": round(stream.delay.p95_ms, 3),
                },
            }
            for stream, meter in zip(status.streams, pipeline.meters, strict=True)
        ],
        "sinks": [
            {"sink": sink.name, "written": sink.written, "lost": sink.lost, "failed": sink.failed}
            for sink in status.sinks
        ],
        **found.record(),
        "engine": pipeline.detector.details,
        "engines": pipeline.engines,
    }


def _print_summary(
    pipeline: Pipeline, summary: dict[str, Any], written: list[LeavesFiles], *, latency: bool
) -> None:
    console = people()
    total = summary["latency_ms"]["total"]
    console.print(
        f"{summary['frames']} frames at {summary['fps']:.1f} FPS, "
        f"{total['p50']:.1f} ms (p95 {total['p95']:.1f} ms) a frame"
        + (f", {summary['dropped']} dropped" if summary["dropped"] else "")
    )
    if latency:
        from edgessd.cli.run_tables import latency_table, stream_table

        console.print(latency_table(pipeline.status()))
        if len(pipeline.sources) > 1:
            console.print(stream_table(pipeline))
    for sentence in sentences(summary):
        console.print(sentence)
    for entry in summary["skipped"]:
        console.print(f"skipped {entry['image']}: {entry['reason']}", style="yellow")
    for entry in summary["sinks"]:
        if entry["lost"]:
            console.print(f"{entry['sink']}: {entry['lost']} results lost", style="yellow")
    for path in (path for sink in written for path in sink.files):
        if path.exists():
            console.print(f"wrote {path}")
