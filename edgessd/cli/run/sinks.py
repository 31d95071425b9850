"""Sinks of `edgessd run`, from its options."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edgessd.cli.run.live import LiveOptions, open_live

if TYPE_CHECKING:
    from edgessd.pipeline.pipeline import Pipeline
    from edgessd.pipeline.sinks.mqtt import MqttSink
    from edgessd.pipeline.sinks.sink import Sink

_log = logging.getLogger(__name__)

# A detector of ninety classes shouldn't fill a home with ninety sensors that are always 0.
_MOST_SENSORS = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class MqttOptions:
    """What the command line says of the broker."""

    url: str | None
    topic: str | None
    ca: Path | None
    cert: Path | None
    key: Path | None
    qos: int | None
    home_assistant: bool

    def __post_init__(self) -> None:
        others = (self.topic, self.ca, self.cert, self.key, self.qos, self.home_assistant or None)
        if self.url is None and any(value is not None for value in others):
            raise typer.BadParameter("--mqtt-… and --home-assistant belong to --mqtt")


@dataclass(frozen=True, kw_only=True, slots=True)
class SinkOptions:
    """What the command line says of outputs; the options of the same names explain them.

    Attributes:
        tracking: Whether objects are numbered, so that there are events.
        regions: Whether there are lines or zones.
    """

    tracking: bool
    regions: bool
    record: Path | None
    record_minutes: float | None
    jsonl: str | None
    csv: str | None
    snapshots: Path | None
    snapshots_on: str | None
    snapshots_every: float | None
    webhook: str | None
    webhook_on: str | None
    metrics: str | None
    display: bool
    mqtt: MqttOptions
    live: LiveOptions | None

    def __post_init__(self) -> None:
        if self.record is None and self.record_minutes is not None:
            raise typer.BadParameter("--record-minutes belongs to --record")
        if self.snapshots is None and (self.snapshots_on or self.snapshots_every is not None):
            raise typer.BadParameter("--snapshots-on and --snapshots-every belong to --snapshots")
        if self.snapshots_on == "events" and not self.regions:
            raise typer.BadParameter("--snapshots-on events needs --regions")
        if self.webhook is None and self.webhook_on:
            raise typer.BadParameter("--webhook-on belongs to --webhook")
        if self.webhook_on == "events" and not self.tracking:
            raise typer.BadParameter("--webhook-on events needs --track or --regions")
        if self.jsonl == "-" and self.csv == "-":
            raise typer.BadParameter("--jsonl - and --csv - both want stdout")

    @property
    def stdout(self) -> bool:
        """Whether an output takes stdout."""
        return "-" in (self.jsonl, self.csv)


def open_sinks(options: SinkOptions, pipeline: Pipeline) -> Iterator[Sink]:
    """Open the sinks one by one, so that the pipeline closes those already open if one refuses.

    Raises:
        SinkError: What refuses.
    """
    if options.record is not None:
        from edgessd.pipeline.sinks.recorder import Recorder

        yield Recorder(options.record, sources=pipeline.sources, minutes=options.record_minutes)
    if options.jsonl is not None:
        from edgessd.pipeline.sinks.json_lines import JsonLinesSink

        yield JsonLinesSink(options.jsonl, on_closed=pipeline.stop)
    if options.csv is not None:
        from edgessd.pipeline.sinks.csv_rows import CsvSink

        yield CsvSink(options.csv, on_closed=pipeline.stop)
    if options.snapshots is not None:
        from edgessd.pipeline.sinks.snapshots import SnapshotSink

        yield SnapshotSink(
            options.snapshots,
            on="events" if options.snapshots_on == "events" else "appearance",
            every=1.0 if options.snapshots_every is None else options.snapshots_every,
        )
    if options.mqtt.url is not None:
        yield _open_mqtt(options.mqtt, options.mqtt.url, pipeline)
    if options.webhook is not None:
        from edgessd.pipeline.sinks.webhook import WebhookSink

        chosen = options.webhook_on or ("events" if options.tracking else "detections")
        yield WebhookSink(
            options.webhook,
            on="events" if chosen == "events" else "detections",
            secret=os.environ.get("EDGESSD_WEBHOOK_SECRET"),
        )
    if options.metrics is not None:
        from edgessd.pipeline.sinks.metrics import Metrics, MetricsSink, parse_listen

        host, port = parse_listen(options.metrics)
        metrics = Metrics(pipeline.status, labels=_wanted_labels(pipeline))
        served = MetricsSink(metrics, host=host, port=port)
        _log.info(
            "Metrics: %s", served.url, extra={"edgessd": {"event": "metrics", "url": served.url}}
        )
        yield served
    if options.display:
        from edgessd.pipeline.sinks.window import WindowSink

        yield WindowSink(pipeline.stop)
    if options.live is not None:
        yield open_live(options.live, pipeline)


def _open_mqtt(options: MqttOptions, url: str, pipeline: Pipeline) -> MqttSink:
    from edgessd.pipeline.sinks.mqtt import MqttSink
    from edgessd.pipeline.sinks.mqtt_address import mqtt_address

    address = mqtt_address(
        url,
        os.environ,
        topic=options.topic,
        ca=options.ca,
        certificate=options.cert,
        key=options.key,
        qos=1 if options.qos is None else options.qos,
    )
    return MqttSink(
        address,
        discovery="homeassistant" if options.home_assistant else None,
        labels=_wanted_labels(pipeline),
    )


def _wanted_labels(pipeline: Pipeline) -> tuple[str, ...]:
    """Classes that are worth a figure before they are seen."""
    wanted = pipeline.controls.classes
    labels = pipeline.controls.labels
    chosen = tuple(label for label in labels if wanted is None or label in wanted)
    return chosen if len(chosen) <= _MOST_SENSORS else ()
