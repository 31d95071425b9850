"""The camera path: frames in, detections out to every sink."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgessd.core.detections import Detections
from edgessd.pipeline.frames import Frame
from edgessd.pipeline.handover import ReadAhead
from edgessd.pipeline.meter import Meter, StageSeconds
from edgessd.pipeline.sinks.sink import Sink
from edgessd.pipeline.sources.source import Source
from edgessd.pipeline.stages import Inferred, Stages

if TYPE_CHECKING:
    from edgessd.runtime.detector import Detector


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """One frame and what was found in it."""

    frame: Frame
    detections: Detections
    seconds: StageSeconds


class Pipeline:
    """Runs a detector over a source and hands each result to the sinks.

    Reading, preparing, inference and what comes after it overlap, see `pipeline.stages`. Iterating
    yields each `Result` after the sinks had it. Use it as a context manager: leaving it closes sinks
    and source, also after an error or Ctrl-C, so that a recording is always playable.

    Args:
        source: Where frames come from.
        detector: What looks at them.
        sinks: Where results go, in order.

    Example:
        with Pipeline(open_source("film.mp4"), Detector("dist/codes-host")) as pipeline:
            for result in pipeline:
                print(len(result.detections))
    """

    def __init__(self, source: Source, detector: Detector, sinks: Sequence[Sink] = ()) -> None:
        self.source = source
        self.detector = detector
        self.meter = Meter()
        self._sinks = list(sinks)
        self._reader = ReadAhead(source)
        self._stages = Stages(self._reader, detector, live=source.live)
        self._stopped = False

    @property
    def dropped(self) -> int:
        """Frames of a live source that came while the detector was busy."""
        return self._reader.dropped

    def add_sink(self, sink: Sink) -> None:
        """Hand every further result to this sink too, and close it at the end."""
        self._sinks.append(sink)

    def stop(self) -> None:
        """End after the frame in hand. Safe to call from a signal handler."""
        self._stopped = True
        self._reader.end()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as closing:
            for sink in self._sinks:
                closing.callback(sink.close)
            closing.callback(self._reader.close)
            closing.callback(self._stages.close)
            closing.callback(self._reader.end)

    def __iter__(self) -> Iterator[Result]:
        for inferred in self._stages:
            result = self._finish(inferred)
            for sink in self._sinks:
                sink.write(result)
            yield result
            if self._stopped:
                break

    def _finish(self, inferred: Inferred) -> Result:
        start = time.perf_counter()
        detections = self.detector.finish(inferred.outputs, inferred.placement)
        finished = time.perf_counter()
        seconds = StageSeconds(
            prepare=inferred.prepare_seconds,
            infer=inferred.infer_seconds,
            finish=finished - start,
        )
        self.meter.add(seconds, finished)
        return Result(frame=inferred.frame, detections=detections, seconds=seconds)
