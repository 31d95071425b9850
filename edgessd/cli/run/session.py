"""One run of `edgessd run`: open everything, go on until the end, sum up."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgessd.cli.console import people, print_json
from edgessd.cli.logs import LogForm, seconds_between_lines
from edgessd.cli.run.sinks import SinkOptions, open_sinks
from edgessd.cli.run.sources import SourceOptions, open_sources
from edgessd.cli.run.summary import print_summary, summary_of
from edgessd.cli.run.tally import Tally
from edgessd.core.errors import EdgessdError, SinkError, SourceError

if TYPE_CHECKING:
    from edgessd.pipeline.pipeline import Pipeline
    from edgessd.pipeline.result import Result
    from edgessd.pipeline.sinks.sink import LeavesFiles

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """What the command line says, but for sources and outputs; the options of the same names explain it."""

    model: Path
    backend: str | None
    labels: Path | None
    threads: int | None
    engines: int | None
    threshold: float | None
    classes: str | None
    regions: Path | None
    max_frames: int | None
    latency: bool
    log: LogForm
    as_json: bool


def run_session(options: RunOptions, sources: SourceOptions, sinks: SinkOptions) -> None:
    """Run until the sources end, somebody stops it, or `max_frames` are through.

    Raises:
        EdgessdError: What refuses to open; a source that broke off and an output that ended early are
            raised after the summary.
    """
    # FFmpeg tells of every codec it tries; what matters is said in edgessd's own errors. It reads this
    # when OpenCV first calls it.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

    from edgessd.pipeline.heartbeat import Heartbeat
    from edgessd.pipeline.notify import Notifier
    from edgessd.pipeline.sinks.sink import LeavesFiles

    with ExitStack() as closing:
        pipeline = _open_pipeline(options, sources, tracking=sinks.tracking, closing=closing)
        written: list[LeavesFiles] = []
        for sink in open_sinks(sinks, pipeline):
            pipeline.add_sink(sink)
            if isinstance(sink, LeavesFiles):
                written.append(sink)
        heartbeat = Heartbeat(
            pipeline, Notifier.from_environment(), log_seconds=seconds_between_lines(options.log)
        )
        with _stopping_on_signals(pipeline), heartbeat:
            found, error = _show(pipeline, options)
    summary = summary_of(pipeline, str(options.model), found)
    if options.as_json:
        print_json(summary)
    print_summary(pipeline, summary, written, latency=options.latency)
    if people().quiet:
        _log.info("%s ended", options.model, extra={"edgessd": {"event": "finished", **summary}})
    error = error or _first_failed(pipeline)
    if error is not None:
        raise error


def _open_pipeline(
    options: RunOptions, sources: SourceOptions, *, tracking: bool, closing: ExitStack
) -> Pipeline:
    """Sources, engines and what is between them; nothing is read yet."""
    from edgessd.pipeline.engines import open_detectors
    from edgessd.pipeline.pipeline import Pipeline
    from edgessd.pipeline.regions import read_regions
    from edgessd.pipeline.tracking import Tracking
    from edgessd.runtime.detector import Detector

    regions = read_regions(options.regions) if options.regions else None
    opened = open_sources(sources)
    for source in opened:
        closing.callback(source.close)
    detectors = open_detectors(
        lambda threads: Detector(
            options.model, backend=options.backend, threads=threads, labels=options.labels
        ),
        live=any(source.live for source in opened),
        threads=options.threads,
        engines=options.engines,
    )
    for detector in detectors:
        closing.callback(detector.close)
    if regions is not None:
        regions.require_labels(detectors[0].labels)
    follow = (lambda: Tracking(regions)) if tracking else None
    pipeline = closing.enter_context(Pipeline(opened, detectors, tracking=follow))
    if options.threshold is not None:
        pipeline.controls.score_threshold = options.threshold
    if options.classes is not None:
        names = options.classes.split(",")
        pipeline.controls.classes = frozenset(name.strip() for name in names)
    return pipeline


@contextmanager
def _stopping_on_signals(pipeline: Pipeline) -> Iterator[None]:
    """End after the frame in hand on Ctrl-C or SIGTERM; a second Ctrl-C interrupts at once."""

    def stop(number: int, _frame: object) -> None:
        pipeline.stop()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _show(pipeline: Pipeline, options: RunOptions) -> tuple[Tally, EdgessdError | None]:
    """Drain the pipeline under a progress line; a source that breaks off still gets its summary."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    found = Tally()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[status]}"),
    )
    names = ", ".join(source.name for source in pipeline.sources)
    console = people()
    with Progress(*columns, console=console, transient=True, disable=console.quiet) as progress:
        expected = _expected(pipeline, options.max_frames)
        task = progress.add_task(f"{options.model.name} on {names}", total=expected, status="")
        try:
            for result in pipeline:
                found.add(result)
                if pipeline.meter.frames % 5 == 1:
                    progress.update(task, status=_status(pipeline, result))
                progress.advance(task)
                if pipeline.meter.frames == options.max_frames:
                    break
        except SourceError as error:
            if pipeline.meter.frames == 0:
                raise
            return found, error
    return found, None


def _expected(pipeline: Pipeline, max_frames: int | None) -> int | None:
    """Frames there will be, where that is known."""
    lengths = [source.length for source in pipeline.sources]
    known = None if None in lengths else sum(length or 0 for length in lengths)
    return min((n for n in (known, max_frames) if n is not None), default=None)


def _status(pipeline: Pipeline, result: Result) -> str:
    milliseconds = result.seconds.total * 1e3
    return (
        f"{pipeline.meter.fps_lately:.1f} FPS  {milliseconds:.1f} ms  "
        f"{len(result.detections)} found"
    )


def _first_failed(pipeline: Pipeline) -> SinkError | None:
    """An output that ended early leaves something undone: the command must not end with 0."""
    for sink in pipeline.status().sinks:
        if sink.failed is not None:
            return SinkError(f"{sink.name} ended early", found=sink.failed)
    return None
