"""Summary at the end of `edgessd run`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgessd.cli.console import people
from edgessd.cli.run.tally import Tally, sentences

if TYPE_CHECKING:
    from edgessd.pipeline.pipeline import Pipeline
    from edgessd.pipeline.sinks.sink import LeavesFiles


def summary_of(pipeline: Pipeline, model: str, found: Tally) -> dict[str, Any]:
    """Return the summary that `--json` prints; its keys are stable."""
    status = pipeline.status()
    return {
        "model": model,
        "source": pipeline.sources[0].name,
        "decoder": getattr(pipeline.sources[0], "decoder", None),
        "frames": pipeline.meter.frames,
        "dropped": pipeline.dropped,
        "skipped": [
            {"image": name, "reason": why}
            for source in pipeline.sources
            for name, why in source.skipped
        ],
        "fps": round(pipeline.meter.fps, 2),
        "latency_ms": {
            stage: {"p50": round(value.p50_ms, 3), "p95": round(value.p95_ms, 3)}
            for stage, value in status.stages.items()
        },
        "streams": [
            {
                "source": stream.name,
                "frames": stream.frames,
                "dropped": stream.dropped,
                "reconnects": stream.reconnects,
                "fps": round(meter.fps, 2),
                "delay_ms": {
                    "p50": round(stream.delay.p50_ms, 3),
                    "p95": round(stream.delay.p95_ms, 3),
                },
            }
            for stream, meter in zip(status.streams, pipeline.meters, strict=True)
        ],
        "sinks": [
            {"sink": sink.name, "written": sink.written, "lost": sink.lost, "failed": sink.failed}
            for sink in status.sinks
        ],
        **found.record(),
        "engine": pipeline.detector.details,
        "engines": pipeline.engines,
    }


def print_summary(
    pipeline: Pipeline, summary: dict[str, Any], written: list[LeavesFiles], *, latency: bool
) -> None:
    """Print the summary for people, with tables if `latency` is true."""
    console = people()
    total = summary["latency_ms"]["total"]
    console.print(
        f"{summary['frames']} frames at {summary['fps']:.1f} FPS, "
        f"{total['p50']:.1f} ms (p95 {total['p95']:.1f} ms) a frame"
        + (f", {summary['dropped']} dropped" if summary["dropped"] else "")
    )
    console.print(f"model {summary['model']}", soft_wrap=True)
    if latency:
        from edgessd.cli.run.tables import latency_table, stream_table

        console.print(latency_table(pipeline.status()))
        if len(pipeline.sources) > 1:
            console.print(stream_table(pipeline))
    for sentence in sentences(summary):
        console.print(sentence)
    for entry in summary["skipped"]:
        console.print(f"skipped {entry['image']}: {entry['reason']}", style="yellow")
    for entry in summary["sinks"]:
        if entry["lost"]:
            console.print(f"{entry['sink']}: {entry['lost']} results lost", style="yellow")
    for path in (path for sink in written for path in sink.files):
        if path.exists():
            console.print(f"wrote {path}")
