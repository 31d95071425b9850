"""One run of `edgessd run`, from opening to the summary."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from edgessd.cli.console import people, print_json
from edgessd.cli.logs import LogForm, seconds_between_lines
from edgessd.cli.run.sinks import open_sinks
from edgessd.cli.run.summary import print_summary, summary_of
from edgessd.cli.run.tally import Tally
from edgessd.core.errors import EdgessdError, SinkError, SourceError

if TYPE_CHECKING:
    from edgessd.pipeline.options.run import RunOptions
    from edgessd.pipeline.pipeline import Pipeline
    from edgessd.pipeline.result import Result
    from edgessd.pipeline.sinks.sink import LeavesFiles

_log = logging.getLogger(__name__)


def run_session(options: RunOptions, *, as_json: bool) -> None:
    """Run until the sources end, a signal comes, or `max_frames` are processed.

    Args:
        options: Options of the run.
        as_json: Print the summary as JSON on stdout.

    Raises:
        EdgessdError: Something can't be opened. The failure of a source or an output during the run is
            raised after the summary.
    """
    # FFmpeg writes a line for every codec that it tries; edgessd's own errors have the reason. FFmpeg reads
    # this variable when OpenCV first calls it.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

    from edgessd.pipeline.heartbeat import Heartbeat
    from edgessd.pipeline.notify import Notifier
    from edgessd.pipeline.open_pipeline import open_pipeline
    from edgessd.pipeline.options.secrets import require_variables
    from edgessd.pipeline.sinks.sink import LeavesFiles
    from edgessd.pipeline.sources.native_stderr import quiet_opencv

    require_variables(options, os.environ)
    with ExitStack() as closing:
        pipeline = closing.enter_context(open_pipeline(options))
        # From here on OpenCV would repeat between the lines of the log what the log says.
        quiet_opencv()
        written: list[LeavesFiles] = []
        for sink in open_sinks(options, pipeline):
            pipeline.add_sink(sink)
            if isinstance(sink, LeavesFiles):
                written.append(sink)
        heartbeat = Heartbeat(
            pipeline,
            Notifier.from_environment(),
            log_seconds=seconds_between_lines(LogForm(options.log)),
        )
        with _stopping_on_signals(pipeline), heartbeat:
            found, error = _show(pipeline, options)
    summary = summary_of(pipeline, str(options.model.path), found)
    if as_json:
        print_json(summary)
    print_summary(pipeline, summary, written, latency=options.latency)
    if people().quiet:
        _log.info(
            "%s ended", options.model.path, extra={"edgessd": {"event": "finished", **summary}}
        )
    error = error or _first_failed(pipeline)
    if error is not None:
        raise error


@contextmanager
def _stopping_on_signals(pipeline: Pipeline) -> Iterator[None]:
    """End after the current frame on Ctrl-C or SIGTERM; a second Ctrl-C interrupts at once."""

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
    """Run the pipeline under a progress line, and return its counts and the error of a source."""
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
        name = options.model.path.name if options.model.path else ""
        task = progress.add_task(f"{name} on {names}", total=expected, status="")
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
    """Return the number of frames to come, None if it is unknown."""
    lengths = [source.length for source in pipeline.sources]
    known = None if None in lengths else sum(length or 0 for length in lengths)
    return min((n for n in (known, max_frames) if n is not None), default=None)


def _status(pipeline: Pipeline, result: Result) -> str:
    milliseconds = result.seconds.total * 1e3
    return (
        f"{pipeline.meter.recent_fps:.1f} FPS  {milliseconds:.1f} ms  "
        f"{len(result.detections)} found"
    )


def _first_failed(pipeline: Pipeline) -> SinkError | None:
    """Return the error of the first output that failed, so that the command doesn't end with 0."""
    for sink in pipeline.status().sinks:
        if sink.failed is not None:
            return SinkError(f"{sink.name} ended early", found=sink.failed)
    return None
