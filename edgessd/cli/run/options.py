"""The options of `edgessd run` that say where results go, and what is followed and counted."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

_TRACKING, _OUTPUTS, _MQTT = "Tracking", "Outputs", "MQTT"


class SnapshotReason(str, Enum):
    """When a snapshot is taken."""

    appearance = "appearance"
    events = "events"


class WebhookReason(str, Enum):
    """What is posted."""

    events = "events"
    detections = "detections"


Track = Annotated[
    bool,
    typer.Option("--track", help="Number objects from frame to frame.", rich_help_panel=_TRACKING),
]
RegionsFile = Annotated[
    Path | None,
    typer.Option(
        "--regions",
        help="Lines and zones to count at, a TOML file; implies --track.",
        metavar="FILE",
        rich_help_panel=_TRACKING,
    ),
]
Record = Annotated[
    Path | None,
    typer.Option(
        help="Write an annotated video: .mp4, .mkv or .avi.",
        metavar="FILE",
        rich_help_panel=_OUTPUTS,
    ),
]
RecordMinutes = Annotated[
    float | None,
    typer.Option(
        help="Begin a new video after so long, with the time in its name.",
        min=0.01,
        rich_help_panel=_OUTPUTS,
    ),
]
JsonLines = Annotated[
    str | None,
    typer.Option(
        help="Write one JSON object a frame; - is stdout.",
        metavar="FILE",
        rich_help_panel=_OUTPUTS,
    ),
]
Csv = Annotated[
    str | None,
    typer.Option(
        help="Write one row a detection; - is stdout.", metavar="FILE", rich_help_panel=_OUTPUTS
    ),
]
Snapshots = Annotated[
    Path | None,
    typer.Option(
        help="Write a picture, annotated and clean, of each moment that matters.",
        metavar="DIR",
        rich_help_panel=_OUTPUTS,
    ),
]
SnapshotsOn = Annotated[
    SnapshotReason | None,
    typer.Option(
        help="When a class or tracked object appears (the default), or at lines and zones.",
        rich_help_panel=_OUTPUTS,
    ),
]
SnapshotsEvery = Annotated[
    float | None,
    typer.Option(
        help="Seconds between two snapshots for the same reason, at least. Default: 1.",
        min=0,
        rich_help_panel=_OUTPUTS,
    ),
]
Webhook = Annotated[
    str | None,
    typer.Option(
        help="POST JSON to this URL, signed with EDGESSD_WEBHOOK_SECRET if that is set.",
        metavar="URL",
        rich_help_panel=_OUTPUTS,
    ),
]
WebhookOn = Annotated[
    WebhookReason | None,
    typer.Option(
        help="What is posted. Default: events with --track, else detections.",
        rich_help_panel=_OUTPUTS,
    ),
]
MetricsAt = Annotated[
    str | None,
    typer.Option(
        "--metrics",
        help="Serve figures for Prometheus; a port alone is seen from this machine only.",
        metavar="[HOST:]PORT",
        rich_help_panel=_OUTPUTS,
    ),
]
Display = Annotated[
    bool, typer.Option("--display", help="Show a window.", rich_help_panel=_OUTPUTS)
]
Mqtt = Annotated[
    str | None,
    typer.Option(
        help="Publish to a broker: mqtt://host or mqtts://host:8883. User and password come from "
        "EDGESSD_MQTT_USERNAME and EDGESSD_MQTT_PASSWORD.",
        metavar="URL",
        rich_help_panel=_MQTT,
    ),
]
MqttTopic = Annotated[
    str | None,
    typer.Option(
        help="Publish under this topic. Default: edgessd/ and this machine's name.",
        rich_help_panel=_MQTT,
    ),
]
MqttCa = Annotated[
    Path | None,
    typer.Option(
        help="Certificates to trust, PEM. Default: the system's.",
        metavar="FILE",
        rich_help_panel=_MQTT,
    ),
]
MqttCert = Annotated[
    Path | None,
    typer.Option(help="Client's certificate, PEM.", metavar="FILE", rich_help_panel=_MQTT),
]
MqttKey = Annotated[
    Path | None,
    typer.Option(help="Client's key, PEM.", metavar="FILE", rich_help_panel=_MQTT),
]
MqttQos = Annotated[
    int | None,
    typer.Option(
        help="Quality of service: 0, 1 or 2. Default: 1.", min=0, max=2, rich_help_panel=_MQTT
    ),
]
HomeAssistant = Annotated[
    bool,
    typer.Option(
        "--home-assistant",
        help="Let Home Assistant discover a sensor for each class, line and zone.",
        rich_help_panel=_MQTT,
    ),
]
