"""The options of a run, from the command line and from the file that `--config` names."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
import typer

from edgessd.core.errors import ConfigError
from edgessd.pipeline.options.file import options_of, read_values
from edgessd.pipeline.options.outputs import (
    LiveOptions,
    MqttOptions,
    RecordOptions,
    SnapshotsOptions,
    WebhookOptions,
)
from edgessd.pipeline.options.run import DetectorOptions, RunOptions
from edgessd.pipeline.options.source import SourceOptions

S = TypeVar("S", bound=msgspec.Struct)


class _Table(NamedTuple):
    """One table of a file and its options on the command line. The option of its name turns it on.

    Attributes:
        kind: Type of the table.
        fields: Name of the attribute that each option sets.
    """

    kind: type[Any]
    fields: Mapping[str, str]


_TABLES = {
    "record": _Table(RecordOptions, {"record": "path", "record_minutes": "minutes"}),
    "snapshots": _Table(
        SnapshotsOptions,
        {"snapshots": "path", "snapshots_on": "on", "snapshots_every": "every"},
    ),
    "webhook": _Table(WebhookOptions, {"webhook": "url", "webhook_on": "on"}),
    "mqtt": _Table(
        MqttOptions,
        {
            "mqtt": "url",
            "mqtt_topic": "topic",
            "mqtt_ca": "ca",
            "mqtt_cert": "cert",
            "mqtt_key": "key",
            "mqtt_qos": "qos",
            "home_assistant": "home_assistant",
        },
    ),
    "live": _Table(LiveOptions, {"host": "host", "port": "port"}),
}
_MODEL = {
    "model": "path",
    "backend": "backend",
    "labels": "labels",
    "threads": "threads",
    "engines": "engines",
}
# Set for every source. The options have the names of the attributes.
_SOURCE = (
    "width",
    "height",
    "fps",
    "pixel_format",
    "pace",
    "loop",
    "rtsp_transport",
    "wait",
    "stall_seconds",
    "freeze_seconds",
    "threshold",
    "classes",
    "track",
    "regions",
)
_RUN = ("max_frames", "latency", "log", "jsonl", "csv", "metrics", "display")
# Options that aren't part of what runs.
NOT_MERGED = ("as_json", "config", "print_config", "list_cameras")


def merge_options(given: Mapping[str, Any]) -> RunOptions:
    """Return the options of a run.

    An option of the command line overrides the file. `--camera` and `--source` replace all sources of
    the file; the other options of sources are set for every source.

    Args:
        given: Value of each option of the command line, None if it wasn't given.

    Raises:
        typer.BadParameter: The options contradict each other.
        ConfigError: The file can't be used.
    """
    path = given["config"]
    base = {} if path is None else read_values(path)
    try:
        return _merged(_plain(given), base)
    except ConfigError as error:
        if path is not None:
            # A fault of the file alone is reported with the file's name.
            options_of(base, path)
        raise typer.BadParameter(error.paragraph()) from error


def merged_names() -> set[str]:
    """Return the names of all options that `merge_options` reads."""
    tables = (name for table in _TABLES.values() for name in table.fields)
    return {"camera", "source", "no_reconnect", *_MODEL, *_SOURCE, *_RUN, *_TABLES, *tables}


def _merged(given: Mapping[str, Any], base: Mapping[str, Any]) -> RunOptions:
    from edgessd.runtime.starter import default_bundle

    model = _changed(base.get("model", DetectorOptions()), _renamed(given, _MODEL))
    if model.path is None:
        model = msgspec.structs.replace(model, path=default_bundle(Path.cwd()))
    changes: dict[str, Any] = {name: given[name] for name in _RUN if given[name] is not None}
    changes |= {
        name: _merged_table(given, name, table, base.get(name)) for name, table in _TABLES.items()
    }
    changes |= {"model": model, "source": _sources(given, base)}
    return RunOptions(**{**base, **changes})


def _sources(given: Mapping[str, Any], base: Mapping[str, Any]) -> tuple[SourceOptions, ...]:
    changes = {name: given[name] for name in _SOURCE if given[name] is not None}
    if given["no_reconnect"]:
        changes["reconnect"] = False
    cameras = [f"camera:{number}" for number in given["camera"] or ()]
    if addresses := [*cameras, *(given["source"] or ())]:
        return tuple(SourceOptions(address=address, **changes) for address in addresses)
    if given["config"] is None:
        raise typer.BadParameter("give --camera N, --source FILE or --config FILE")
    return tuple(_changed(source, changes) for source in base.get("source", ()))


def _merged_table(given: Mapping[str, Any], switch: str, table: _Table, base: Any) -> Any:
    changes = _renamed(given, table.fields)
    if base is not None:
        if "url" in changes and table.kind is WebhookOptions:
            changes["url_env"] = None
        return _changed(base, changes)
    if given[switch]:
        return table.kind(**changes)
    if changes:
        names = [name for name, field in table.fields.items() if field in changes]
        flags = " and ".join(_flag(name) for name in names)
        verb = "belongs" if len(names) == 1 else "belong"
        raise typer.BadParameter(f"{flags} {verb} to {_flag(switch)}")
    return None


def _renamed(given: Mapping[str, Any], fields: Mapping[str, str]) -> dict[str, Any]:
    return {field: given[name] for name, field in fields.items() if given[name] is not None}


def _changed(options: S, changes: Mapping[str, Any]) -> S:
    return msgspec.structs.replace(options, **changes)


def _plain(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values as the options have them: no enums, and a tuple of class labels."""
    values = {
        name: value.value if isinstance(value, Enum) else value for name, value in given.items()
    }
    if values["classes"] is not None:
        values["classes"] = tuple(label.strip() for label in values["classes"].split(","))
    return values


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
