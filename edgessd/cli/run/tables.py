"""Tables at the end of `edgessd run --latency`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from edgessd.pipeline.pipeline import Pipeline
    from edgessd.pipeline.status import PipelineStatus

_STAGES = {
    "prepare": "preprocess",
    "infer": "engine",
    "finish": "postprocess",
    "total": "all three",
    "delay": "capture to result",
}


def latency_table(status: PipelineStatus) -> Table:
    """Make the table of each stage's time; the last row is the delay from capture, including waiting."""
    table = Table("stage", title="latency, ms", title_justify="left")
    for column in ("p50", "p95", "p99"):
        table.add_column(column, justify="right")
    for stage, name in _STAGES.items():
        value = status.stages[stage]
        table.add_row(name, *(f"{ms:.2f}" for ms in (value.p50_ms, value.p95_ms, value.p99_ms)))
    return table


def stream_table(pipeline: Pipeline) -> Table:
    """Make the table of the streams, one row a source."""
    table = Table("source", title="streams", title_justify="left")
    for column in ("frames", "dropped", "reconnects", "FPS", "delay p50, ms", "delay p95, ms"):
        table.add_column(column, justify="right")
    for stream, meter in zip(pipeline.status().streams, pipeline.meters, strict=True):
        table.add_row(
            stream.name,
            str(stream.frames),
            str(stream.dropped),
            str(stream.reconnects),
            f"{meter.fps:.1f}",
            f"{stream.delay.p50_ms:.1f}",
            f"{stream.delay.p95_ms:.1f}",
        )
    return table
