"""All options of a run: sources, model and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from glob import escape, has_magic
from pathlib import Path
from typing import Any, Literal

import msgspec

from edgessd.core.errors import ConfigError
from edgessd.pipeline.options.checks import parse_listen, require_between
from edgessd.pipeline.options.outputs import (
    LiveOptions,
    MqttOptions,
    RecordOptions,
    SnapshotsOptions,
    WebhookOptions,
)
from edgessd.pipeline.options.source import SourceOptions

LogForm = Literal["text", "json"]
# More than any machine has. Backends crash if the operating system refuses them a thread.
MOST_THREADS = 1024


class DetectorOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The model and its engines; in a file the table `[model]`.

    Attributes:
        path: Bundle, `.tflite` or `.onnx`; None is the newest bundle in `dist/`, else the starter.
        backend: Name of the only backend to use.
        labels: File with the labels of a foreign `.tflite`, one a line.
        threads: CPU threads of all engines.
        engines: Number of engines that share the frames; None is one for a live source and one a
            thread for files.

    Raises:
        ConfigError: A value out of its range.
    """

    path: Path | None = None
    backend: str | None = None
    labels: Path | None = None
    threads: int | None = None
    engines: int | None = None

    def __post_init__(self) -> None:
        require_between("model.threads", self.threads, 1, MOST_THREADS)
        require_between("model.engines", self.engines, 1, MOST_THREADS)


class RunOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run of a detector.

    Attributes:
        source: The sources, at least one.
        model: The model and its engines.
        max_frames: Number of frames after which the run ends; None is no limit.
        latency: Print the time of each stage at the end.
        log: Form of the messages.
        jsonl: File for one JSON object a frame; `-` is stdout.
        csv: File for one row a detection; `-` is stdout.
        metrics: `PORT` or `HOST:PORT` of the metrics for Prometheus.
        display: Show a window.
        record, snapshots, webhook, mqtt, live: Outputs with options of their own; None is off.

    Raises:
        ConfigError: Options that contradict each other.
    """

    max_frames: int | None = None
    latency: bool = False
    log: LogForm = "text"
    jsonl: str | None = None
    csv: str | None = None
    metrics: str | None = None
    display: bool = False
    model: DetectorOptions = DetectorOptions()
    source: tuple[SourceOptions, ...]
    record: RecordOptions | None = None
    snapshots: SnapshotsOptions | None = None
    webhook: WebhookOptions | None = None
    mqtt: MqttOptions | None = None
    live: LiveOptions | None = None

    def __post_init__(self) -> None:
        if not self.source:
            raise ConfigError(
                "A run needs a source",
                expected="at least one [[source]] table with an address",
                fix="Give --camera N or --source FILE.",
            )
        require_between("max_frames", self.max_frames, 1)
        if self.metrics is not None:
            parse_listen(self.metrics)
        if self.log not in ("text", "json"):
            raise ConfigError("log is unknown", expected="text or json", found=self.log)
        if self.jsonl is not None and self.jsonl == self.csv:
            raise ConfigError(
                "Two outputs can't share "
                + ("stdout" if self.jsonl == "-" else "the file " + self.jsonl),
                expected="one name for jsonl and another for csv",
                found=f"{self.jsonl} for both",
            )
        counting = any(source.regions is not None for source in self.source)
        if self.snapshots is not None and self.snapshots.on == "events" and not counting:
            raise ConfigError(
                "snapshots.on is events, and no source has lines or zones",
                fix="Give a source a regions file, with --regions for all of them.",
            )
        tracking = any(source.tracking for source in self.source)
        if self.webhook is not None and self.webhook.on == "events" and not tracking:
            raise ConfigError(
                "webhook.on is events, and no source is tracked",
                fix="Track a source, with --track or --regions for all of them.",
            )

    @property
    def uses_stdout(self) -> bool:
        """True if an output writes to stdout."""
        return "-" in (self.jsonl, self.csv)


def absolute(options: RunOptions, folder: Path) -> RunOptions:
    """Return the options with each relative path joined to an absolute folder.

    The paths are those of files and folders, and the addresses of sources that are files.
    """
    values = {name: getattr(options, name) for name in options.__struct_fields__}
    return RunOptions(**absolute_values(values, folder))


def absolute_values(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Do the same to some arguments of `RunOptions`."""
    changes: dict[str, Any] = {
        name: str(folder / path)
        for name in ("jsonl", "csv")
        if (path := values.get(name)) not in (None, "-")
    }
    for name in ("model", "record", "snapshots", "mqtt"):
        if (table := values.get(name)) is not None:
            changes[name] = _joined(table, folder)
    if "source" in values:
        changes["source"] = tuple(
            msgspec.structs.replace(
                _joined(source, folder),
                address=_joined_address(source.address, folder)
                if source.address and source.is_file
                else source.address,
            )
            for source in values["source"]
        )
    return {**values, **changes}


def _joined_address(address: str, folder: Path) -> str:
    """Return the path or glob pattern with a folder, whose own brackets aren't part of a pattern."""
    path = folder / address
    if has_magic(address) and not Path(address).is_absolute() and not path.exists():
        return str(Path(escape(str(folder))) / address)
    return str(path)


def _joined(table: Any, folder: Path) -> Any:
    """Return one table with its `Path` attributes joined to a folder."""
    paths = {
        field.name: folder / value
        for field in msgspec.structs.fields(table)
        if isinstance(value := getattr(table, field.name), Path)
    }
    return msgspec.structs.replace(table, **paths)
