"""Open the outputs of `edgessd run` from its options."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgessd.cli.run.live import open_live

if TYPE_CHECKING:
    from edgessd.pipeline.options.outputs import MqttOptions
    from edgessd.pipeline.options.run import RunOptions
    from edgessd.pipeline.pipeline import Pipeline
    from edgessd.pipeline.sinks.mqtt import MqttSink
    from edgessd.pipeline.sinks.sink import Sink

_log = logging.getLogger(__name__)

# With more classes, most sensors of Home Assistant would always be 0.
_MOST_SENSORS = 20


def open_sinks(options: RunOptions, pipeline: Pipeline) -> Iterator[Sink]:
    """Open the sinks one by one, so that the pipeline closes the open ones if one can't be opened.

    Raises:
        SinkError: A sink can't be opened.
    """
    if options.record is not None:
        from edgessd.pipeline.sinks.recorder import Recorder

        yield Recorder(
            options.record.path, sources=pipeline.sources, minutes=options.record.minutes
        )
    if options.jsonl is not None:
        from edgessd.pipeline.sinks.json_lines import JsonLinesSink

        yield JsonLinesSink(options.jsonl, on_closed=pipeline.stop)
    if options.csv is not None:
        from edgessd.pipeline.sinks.csv_rows import CsvSink

        yield CsvSink(options.csv, on_closed=pipeline.stop)
    if options.snapshots is not None:
        from edgessd.pipeline.sinks.snapshots import SnapshotSink

        yield SnapshotSink(
            options.snapshots.path, on=options.snapshots.on, every=options.snapshots.every
        )
    if options.mqtt is not None:
        yield _open_mqtt(options.mqtt, pipeline)
    if options.webhook is not None:
        from edgessd.pipeline.sinks.webhook import WebhookSink

        tracked = all(source.tracking for source in options.source)
        yield WebhookSink(
            options.webhook.located(os.environ),
            on=options.webhook.on or ("events" if tracked else "detections"),
            secret=os.environ.get(options.webhook.secret_env),
        )
    if options.metrics is not None:
        from edgessd.pipeline.options.checks import parse_listen
        from edgessd.pipeline.sinks.metrics import Metrics, MetricsSink

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
        yield open_live(options.live, pipeline, model=options.model.path)


def _open_mqtt(options: MqttOptions, pipeline: Pipeline) -> MqttSink:
    from edgessd.pipeline.sinks.mqtt import MqttSink
    from edgessd.pipeline.sinks.mqtt_address import mqtt_address

    return MqttSink(
        mqtt_address(options, os.environ),
        discovery="homeassistant" if options.home_assistant else None,
        labels=_wanted_labels(pipeline),
    )


def _wanted_labels(pipeline: Pipeline) -> dict[int, tuple[str, ...]]:
    """Return the classes of each stream that have a figure before they are seen; none if too many."""
    streams = range(len(pipeline.sources))
    wanted = {stream: pipeline.controls.labels_of(stream) for stream in streams}
    return {stream: labels for stream, labels in wanted.items() if len(labels) <= _MOST_SENSORS}
