"""Command-line options of `edgessd run` for its outputs. None stands for an option that wasn't given."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

_OUTPUTS, _LIVE, _MQTT = "Outputs", "Live page", "MQTT"


class SnapshotReason(str, Enum):
    """Reason for a snapshot."""

    appearance = "appearance"
    events = "events"


class WebhookContent(str, Enum):
    """Content of the messages to a webhook."""

    events = "events"
    detections = "detections"


# --- outputs --------------------------------------------------------------------------------------------

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
        help="Length after which a new video begins, with the time in its name.",
        metavar="MINUTES",
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
        help="Write an annotated and a clean picture when a class appears, or at events.",
        metavar="DIR",
        rich_help_panel=_OUTPUTS,
    ),
]
SnapshotsOn = Annotated[
    SnapshotReason | None,
    typer.Option(
        help="Reason for a snapshot: a class or tracked object appears, or an event at a line or "
        "zone. Default: appearance.",
        metavar="appearance|events",
        rich_help_panel=_OUTPUTS,
    ),
]
SnapshotsEvery = Annotated[
    float | None,
    typer.Option(
        help="Shortest time between two snapshots for the same reason. Default: 1.",
        metavar="SECONDS",
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
    WebhookContent | None,
    typer.Option(
        help="Content of the messages. Default: events if all sources are tracked, else "
        "detections.",
        metavar="events|detections",
        rich_help_panel=_OUTPUTS,
    ),
]
MetricsAt = Annotated[
    str | None,
    typer.Option(
        "--metrics",
        help="Serve metrics for Prometheus; a port alone is reachable from this machine only.",
        metavar="[HOST:]PORT",
        rich_help_panel=_OUTPUTS,
    ),
]
Display = Annotated[
    bool | None, typer.Option("--display", help="Show a window.", rich_help_panel=_OUTPUTS)
]

# --- the live page --------------------------------------------------------------------------------------

Live = Annotated[
    bool,
    typer.Option(
        "--live",
        help="Serve a page with the pictures, plots and controls.",
        rich_help_panel=_LIVE,
    ),
]
Host = Annotated[
    str | None,
    typer.Option(
        help="Address of the live page. Default: this machine only. With another, such as 0.0.0.0, "
        "viewers need a token.",
        metavar="HOST",
        rich_help_panel=_LIVE,
    ),
]
Port = Annotated[
    int | None,
    typer.Option(
        help="Port of the live page. Default: 8080.",
        metavar="PORT",
        min=0,
        max=65535,
        rich_help_panel=_LIVE,
    ),
]

# --- MQTT -----------------------------------------------------------------------------------------------

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
        metavar="TOPIC",
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
        help="Quality of service: 0, 1 or 2. Default: 1.",
        metavar="N",
        min=0,
        max=2,
        rich_help_panel=_MQTT,
    ),
]
HomeAssistant = Annotated[
    bool | None,
    typer.Option(
        "--home-assistant",
        help="Announce a sensor for each class, line and zone to Home Assistant.",
        rich_help_panel=_MQTT,
    ),
]
