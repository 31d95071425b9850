"""`edgessd run`: a detector over cameras, videos or images."""

from __future__ import annotations

import typer

from edgessd.cli.console import JsonFlag
from edgessd.cli.logs import LogForm, start_logging
from edgessd.cli.run import options as o


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
    record: o.Record = None,
    record_minutes: o.RecordMinutes = None,
    jsonl: o.JsonLines = None,
    csv: o.Csv = None,
    snapshots: o.Snapshots = None,
    snapshots_on: o.SnapshotsOn = None,
    snapshots_every: o.SnapshotsEvery = None,
    webhook: o.Webhook = None,
    webhook_on: o.WebhookOn = None,
    metrics: o.MetricsAt = None,
    display: o.Display = None,
    live: o.Live = False,
    host: o.Host = None,
    port: o.Port = None,
    mqtt: o.Mqtt = None,
    mqtt_topic: o.MqttTopic = None,
    mqtt_ca: o.MqttCa = None,
    mqtt_cert: o.MqttCert = None,
    mqtt_key: o.MqttKey = None,
    mqtt_qos: o.MqttQos = None,
    home_assistant: o.HomeAssistant = None,
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
