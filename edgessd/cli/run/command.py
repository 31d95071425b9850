"""`edgessd run`: a detector over cameras, videos or images."""

from __future__ import annotations

import typer

from edgessd.cli.console import JsonFlag
from edgessd.cli.logs import LogForm, start_logging
from edgessd.cli.run import options as o
from edgessd.cli.run import output_options as out


def command(
    context: typer.Context,
    camera: o.Cameras = None,
    source: o.Sources = None,
    model: o.Model = None,
    threshold: o.Threshold = None,
    classes: o.Classes = None,
    latency: o.Latency = None,
    max_frames: o.MaxFrames = None,
    threads: o.Threads = None,
    engines: o.Engines = None,
    backend: o.BackendName = None,
    labels: o.Labels = None,
    log: o.Log = None,
    as_json: JsonFlag = False,
    config: o.Config = None,
    print_config: o.PrintConfig = False,
    width: o.Width = None,
    height: o.Height = None,
    fps: o.Fps = None,
    pixel_format: o.PixelFormat = None,
    pace: o.Pace = None,
    loop: o.Loop = None,
    rtsp_transport: o.RtspTransport = None,
    no_reconnect: o.NoReconnect = None,
    wait: o.Wait = None,
    stall_seconds: o.StallSeconds = None,
    freeze_seconds: o.FreezeSeconds = None,
    list_cameras: o.ListCameras = False,
    track: o.Track = None,
    regions: o.RegionsFile = None,
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
    display: out.Display = None,
    live: out.Live = False,
    host: out.Host = None,
    port: out.Port = None,
    mqtt: out.Mqtt = None,
    mqtt_topic: out.MqttTopic = None,
    mqtt_ca: out.MqttCa = None,
    mqtt_cert: out.MqttCert = None,
    mqtt_key: out.MqttKey = None,
    mqtt_qos: out.MqttQos = None,
    home_assistant: out.HomeAssistant = None,
) -> None:
    """Run a detector over cameras, videos or images.

    Example: edgessd run --source film.mp4 --record out.mp4 --jsonl out.jsonl
    """
    if list_cameras:
        from edgessd.cli.run.camera_table import list_machine_cameras

        list_machine_cameras(as_json=as_json)
        return
    if log is not None:
        start_logging(log)
    from edgessd.cli.run.merge import merge_options

    options = merge_options(context.params)
    if as_json and (print_config or options.uses_stdout):
        raise typer.BadParameter("--json needs stdout for itself")
    if print_config:
        from edgessd.cli.run.print_config import print_options

        print_options(options)
        return
    start_logging(LogForm(options.log))
    from edgessd.cli.run.session import run_session

    run_session(options, as_json=as_json)
