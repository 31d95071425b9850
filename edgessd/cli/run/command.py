"""`edgessd run`: a detector over cameras, videos or images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgessd.cli.console import JsonFlag
from edgessd.cli.logs import LogForm, start_logging
from edgessd.cli.run import options as out
from edgessd.cli.run.camera_table import list_machine_cameras
from edgessd.cli.run.live import LiveOptions
from edgessd.cli.run.session import RunOptions, run_session
from edgessd.cli.run.sinks import MqttOptions, SinkOptions
from edgessd.cli.run.sources import (
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
)


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
    options = RunOptions(
        model=chosen,
        backend=backend,
        labels=labels,
        threads=threads,
        engines=engines,
        threshold=threshold,
        classes=classes,
        regions=regions,
        max_frames=max_frames,
        latency=latency,
        log=log,
        as_json=as_json,
    )
    run_session(options, sources, sinks)
