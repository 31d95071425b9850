"""Sinks of `edgessd run`, from its options."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgessd.cli.run_live import LiveOptions, open_live

if TYPE_CHECKING:
    from edgessd.pipeline.run import Pipeline
    from edgessd.pipeline.sinks.sink import Sink


@dataclass(frozen=True, kw_only=True, slots=True)
class SinkOptions:
    """What the command line says of outputs.

    Attributes:
        record: A video to write.
        jsonl: A file for JSON lines, `-` is stdout.
        display: Show a window.
        live: Serve the live page.
    """

    record: Path | None
    jsonl: str | None
    display: bool
    live: LiveOptions | None

    @property
    def files(self) -> tuple[Path, ...]:
        """What is there to be looked at afterwards."""
        named = (self.record, Path(self.jsonl) if self.jsonl not in (None, "-") else None)
        return tuple(path for path in named if path is not None)


def open_sinks(options: SinkOptions, pipeline: Pipeline) -> Iterator[Sink]:
    """Open the sinks one by one, so that the pipeline closes those already open if one refuses.

    Raises:
        SinkError: What refuses.
    """
    if options.record is not None:
        from edgessd.pipeline.sinks.recorder import Recorder

        yield Recorder(options.record, sources=pipeline.sources)
    if options.jsonl is not None:
        from edgessd.pipeline.sinks.json_lines import JsonLinesSink

        yield JsonLinesSink(options.jsonl)
    if options.display:
        from edgessd.pipeline.sinks.window import WindowSink

        yield WindowSink(pipeline.stop)
    if options.live is not None:
        yield open_live(options.live, pipeline)
