"""The pipeline: reads frames, detects objects and writes the results to the sinks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgessd.core.errors import ConfigError
from edgessd.pipeline.bounded_queue import BoundedQueue
from edgessd.pipeline.controls import Controls
from edgessd.pipeline.engines import open_detectors
from edgessd.pipeline.events import Event, RegionState
from edgessd.pipeline.meter import Meter, StageSeconds
from edgessd.pipeline.result import Result
from edgessd.pipeline.sinks.sink import Sink
from edgessd.pipeline.sinks.worker import SinkWorker
from edgessd.pipeline.sources.source import Reconnecting, Source
from edgessd.pipeline.stages import Inferred, Stages
from edgessd.pipeline.status import PipelineStatus, StreamStatus
from edgessd.pipeline.streams import Streams

if TYPE_CHECKING:
    from edgessd.pipeline.tracking import Tracking
    from edgessd.runtime.detector import Detector


class Pipeline:
    """Runs a detector over one source or several and hands each result to the sinks.

    Reading, preprocessing, inference, postprocessing and every sink overlap, see `pipeline.stages`. The
    iteration starts and drives the pipeline; it yields each `Result` after handing it to the sinks. Use the
    pipeline as a context manager: at its end the sinks write what waits, then sinks and sources are closed,
    also after an error or Ctrl-C. So a recording can always be played.

    Args:
        sources: One source or a sequence of them. Each is an opened source or a text that `open_source`
            accepts, such as `film.mp4`, `rtsp://…` or `camera:0`.
        detectors: Path of a bundle, .tflite or .onnx, or opened detectors. Several detectors of the same
            model share the frames, for example one for each Edge TPU. Detectors opened here are closed here.
        sinks: Outputs, which get each result in this order.
        tracking: Function that makes the tracking of each stream, or a sequence with the tracking of each
            stream in the order of the sources, None for a stream without. None for no tracking at all.

    Attributes:
        sources: Opened sources.
        detector: First detector.
        controls: Threshold and classes, which may be changed while the pipeline runs.
        meter: Times of the frames of all streams.
        meters: Times of the frames of each stream.

    Raises:
        SourceError: A source can't be opened.
        BundleError, BackendError: The model can't be opened.

    Example:
        >>> with Pipeline("film.mp4", "dist/codes-host") as pipeline:  # doctest: +SKIP
        ...     for result in pipeline:
        ...         print(result.frame.index, len(result.detections))
    """

    def __init__(
        self,
        sources: str | Source | Sequence[str | Source],
        detectors: str | Path | Detector | Sequence[Detector],
        sinks: Sequence[Sink] = (),
        *,
        tracking: Callable[[], Tracking] | Sequence[Tracking | None] | None = None,
    ) -> None:
        self._closing = ExitStack()
        with ExitStack() as undo:
            self.sources = _opened_sources(sources, undo)
            live = any(source.live for source in self.sources)
            self._detectors = _opened_detectors(detectors, undo, live=live)
            self._closing = undo.pop_all()
        self.detector = self._detectors[0]
        self.controls = Controls(self.detector, streams=len(self.sources))
        self.meter = Meter()
        self.meters = tuple(Meter() for _ in self.sources)
        self._started = time.perf_counter()
        self._tracking = _tracking_of_each(tracking, len(self.sources))
        self._streams = Streams(self.sources)
        self._stages = Stages(self._streams, self._detectors)
        self._workers = [SinkWorker(sink, live=self._streams.live) for sink in sinks]
        self._results: BoundedQueue[Result] = BoundedQueue()
        self._postprocessing = threading.Thread(
            target=self._postprocess_each, name="edgessd-postprocess", daemon=True
        )
        self._running = self._stopped = False

    @property
    def engines(self) -> int:
        """Number of engines that share the frames."""
        return len(self._detectors)

    @property
    def live(self) -> bool:
        """True if any source is live."""
        return self._streams.live

    @property
    def dropped(self) -> int:
        """Number of frames of live sources dropped because the detector was busy."""
        return sum(self._streams.dropped(stream) for stream in range(len(self.sources)))

    def add_sink(self, sink: Sink) -> None:
        """Write all further results to this sink too, and close it at the end."""
        self._workers.append(SinkWorker(sink, live=self.live))

    def stop(self) -> None:
        """End the iteration after the present frame. Safe to call from a signal handler."""
        self._stopped = True
        self._streams.end()

    def status(self) -> PipelineStatus:
        """Return the present status. Any thread may call it."""
        return PipelineStatus(
            uptime_seconds=time.perf_counter() - self._started,
            frames=self.meter.frames,
            fps=self.meter.recent_fps,
            stages=self.meter.latencies(),
            streams=tuple(self._stream_status(number) for number in range(len(self.sources))),
            sinks=tuple(worker.status for worker in self._workers),
        )

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        # In reverse order: first the input ends, then each stage, then the sinks write what they have.
        with self._closing as closing:
            for worker in self._workers:
                closing.callback(worker.close)
            closing.callback(self._streams.close)
            if self._running:
                closing.callback(self._postprocessing.join, 5)
            closing.callback(self._stages.close)
            closing.callback(self._results.end)
            closing.callback(self._streams.end)

    def __iter__(self) -> Iterator[Result]:
        self._start()
        while (result := self._results.take()) is not None:
            self._count(result)
            for worker in self._workers:
                worker.put(result)
            yield result
            if self._stopped:
                break

    def _start(self) -> None:
        if not self._running:
            self._running = True
            self._started = time.perf_counter()
            self._streams.start()
            self._stages.start()
            self._postprocessing.start()

    def _postprocess_each(self) -> None:
        try:
            for inferred in self._stages:
                if not self._results.put(self._postprocess(inferred)):
                    return
        except Exception as error:  # noqa: BLE001 - raised again in the iteration
            self._results.end(error)
        else:
            self._results.end()

    def _postprocess(self, inferred: Inferred) -> Result:
        start = time.perf_counter()
        frame = inferred.frame
        detections = self.detector.postprocess(inferred.outputs, inferred.transform)
        detections = self.controls.choose(detections, frame.stream)
        events: tuple[Event, ...] = ()
        regions: tuple[RegionState, ...] = ()
        tracking = self._tracking[frame.stream]
        if tracking is not None:
            detections, events, regions = tracking.update(frame, detections)
        finished = time.perf_counter()
        seconds = StageSeconds(
            preprocess=inferred.preprocess_seconds,
            infer=inferred.infer_seconds,
            postprocess=finished - start,
        )
        return Result(
            frame=frame,
            detections=detections,
            seconds=seconds,
            delay=finished - frame.captured_at,
            events=events,
            regions=regions,
        )

    def _count(self, result: Result) -> None:
        finished_at = result.frame.captured_at + result.delay
        for meter in (self.meter, self.meters[result.frame.stream]):
            meter.add(result.seconds, finished_at, result.delay)

    def _stream_status(self, number: int) -> StreamStatus:
        source, meter = self.sources[number], self.meters[number]
        # Typed as object: a Source doesn't promise to be Reconnecting.
        link: object = source
        reconnecting = link if isinstance(link, Reconnecting) else None
        return StreamStatus(
            name=source.name,
            live=source.live,
            connected=reconnecting.connected if reconnecting else True,
            frames=meter.frames,
            dropped=self._streams.dropped(number),
            skipped=len(source.skipped),
            reconnects=reconnecting.reconnects if reconnecting else 0,
            fps=meter.recent_fps,
            delay=meter.latencies()["delay"],
        )


def _tracking_of_each(
    tracking: Callable[[], Tracking] | Sequence[Tracking | None] | None, streams: int
) -> tuple[Tracking | None, ...]:
    if tracking is None:
        return (None,) * streams
    if callable(tracking):
        return tuple(tracking() for _ in range(streams))
    if len(tracking) != streams:
        raise ConfigError(
            "Each source needs its own tracking, or None",
            expected=f"{streams} of them",
            found=str(len(tracking)),
        )
    return tuple(tracking)


def _opened_sources(
    sources: str | Source | Sequence[str | Source], undo: ExitStack
) -> tuple[Source, ...]:
    """Open the sources given as text. If one can't be opened, `undo` closes all of them."""
    from edgessd.pipeline.sources.catalog import open_source

    given = (sources,) if isinstance(sources, str) or not isinstance(sources, Sequence) else sources
    opened = []
    for source in given:
        opened.append(open_source(source) if isinstance(source, str) else source)
        undo.callback(opened[-1].close)
    return tuple(opened)


def _opened_detectors(
    detectors: str | Path | Detector | Sequence[Detector], undo: ExitStack, *, live: bool
) -> tuple[Detector, ...]:
    """Return the detectors given, or open them as `pipeline.engines` decides."""
    from edgessd.runtime.detector import Detector

    if isinstance(detectors, Detector):
        return (detectors,)
    if not isinstance(detectors, str | Path):
        return tuple(detectors)
    opened = open_detectors(partial(_open, detectors), live=live)
    for detector in opened:
        undo.callback(detector.close)
    return opened


def _open(model: str | Path, threads: int | None) -> Detector:
    from edgessd.runtime.detector import Detector

    return Detector(model, threads=threads)
