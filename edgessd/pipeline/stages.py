"""Overlapping stages: one frame is preprocessed while the engine runs another and a third is postprocessed.

    Streams ─▶ preprocess ─▶ engine ─▶ postprocess and track ─▶ sinks, and whoever iterates

Each arrow is a bounded hand-over, so a slow stage holds up those before it and memory stays flat. A live
source is preprocessed on the engine's own thread, at the moment the engine is free: a frame that was
preprocessed ahead would only wait and grow old. Several engines (more than one Edge TPU, or one engine a
core) share the frames, and their results come out in the frames' order.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from edgessd.core.preprocess import ImageTransform
from edgessd.pipeline.bounded_queue import BoundedQueue
from edgessd.pipeline.frames import Frame
from edgessd.pipeline.streams import Streams, Taken
from edgessd.runtime.backend import Overlapping, Tensor

if TYPE_CHECKING:
    from edgessd.runtime.detector import Detector

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocessed:
    """A frame as the engine wants it."""

    ticket: int
    frame: Frame
    tensor: Tensor
    transform: ImageTransform
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Inferred:
    """What the engine made of a frame; the outputs are the receiver's own."""

    frame: Frame
    outputs: dict[str, Tensor]
    transform: ImageTransform
    preprocess_seconds: float
    infer_seconds: float


Numbered = tuple[int, Inferred]


class Stages:
    """Frames in, `Inferred` out, each stage on a thread of its own.

    Args:
        streams: Where frames come from; their errors come out of the iteration.
        detectors: Preprocess and infer; several of the same model share the work.
    """

    def __init__(self, streams: Streams, detectors: Sequence[Detector]) -> None:
        self._streams = streams
        self._preprocessed: BoundedQueue[Preprocessed] = BoundedQueue()
        self._inferred: BoundedQueue[Inferred] = BoundedQueue()
        self._working = len(detectors)
        self._error: Exception | None = None
        self._leaving = threading.Lock()
        # One buffer waits, each engine may still read its own, and one is being filled. Results leave
        # in order, so no engine gets further ahead of another than that.
        self._buffers = len(detectors) + 2
        self._threads = [
            _thread(f"edgessd-engine {number}", self._infer_each, detector)
            for number, detector in enumerate(detectors)
        ]
        if not streams.live:
            self._threads.append(
                _thread("edgessd-preprocess", self._preprocess_ahead, detectors[0])
            )

    def start(self) -> None:
        """Begin to take frames."""
        for thread in self._threads:
            thread.start()

    def __iter__(self) -> Iterator[Inferred]:
        while (inferred := self._inferred.take()) is not None:
            yield inferred

    def close(self) -> None:
        """Stop and wait for the frame that the engine is at. The streams must have been ended before."""
        self._preprocessed.end()
        self._inferred.end()
        for thread in self._threads:
            if thread.ident is not None:
                # An accelerator that hangs in its driver must not keep the program from ending.
                thread.join(timeout=5)

    def _preprocess_ahead(self, detector: Detector) -> None:
        buffers: deque[Tensor] = deque()
        try:
            while (taken := self._streams.take()) is not None:
                out = buffers.popleft() if len(buffers) == self._buffers else None
                preprocessed = _preprocess(taken, detector, out)
                buffers.append(preprocessed.tensor)
                if not self._preprocessed.put(preprocessed):
                    return
        except Exception as error:  # noqa: BLE001  # whatever it is, `take` raises it again
            self._preprocessed.end(error)
        else:
            self._preprocessed.end()

    def _infer_each(self, detector: Detector) -> None:
        engine = detector.backend
        if self._streams.live:
            buffer = np.empty(engine.input.shape, engine.input.numpy_dtype)
            self._work(
                self._streams.take,
                lambda taken: _infer(_preprocess(taken, detector, buffer), detector),
            )
        elif isinstance(engine, Overlapping):
            overlap = _Overlap(engine, self._preprocessed)
            self._work(overlap.submit_next, overlap.collect)
        else:
            self._work(self._preprocessed.take, lambda preprocessed: _infer(preprocessed, detector))

    def _work(self, take: Callable[[], T | None], infer: Callable[[T], Numbered]) -> None:
        """What one engine does, until there is nothing more. The last one to leave passes the end on.

        An error of the source waits until the other engines' frames are through. One of an engine can't:
        its frame's turn would never come.
        """
        error: Exception | None = None
        while True:
            try:
                item = take()
            except Exception as of_the_source:  # noqa: BLE001  # raised again in the caller's thread
                error = of_the_source
                break
            if item is None:
                break
            try:
                ticket, inferred = infer(item)
            except Exception as of_the_engine:  # noqa: BLE001  # raised again in the caller's thread
                self._inferred.end(of_the_engine)
                break
            if not self._inferred.put(inferred, ticket=ticket):
                break
        with self._leaving:
            self._error = self._error or error
            self._working -= 1
            if self._working == 0:
                self._inferred.end(self._error)


class _Overlap:
    """An engine that takes a frame while it is still at another."""

    def __init__(self, engine: Overlapping, frames: BoundedQueue[Preprocessed]) -> None:
        self._engine = engine
        self._frames = frames
        self._waiting: deque[tuple[Preprocessed, float]] = deque()

    def submit_next(self) -> tuple[Preprocessed, float] | None:
        """Submit every frame that is ready, and give the oldest that is under way; None at the end."""
        while len(self._waiting) < self._engine.in_flight:
            preprocessed = self._frames.take(timeout=0 if self._waiting else None)
            if preprocessed is None:
                break
            self._waiting.append((preprocessed, time.perf_counter()))
            self._engine.submit(preprocessed.tensor)
        return self._waiting.popleft() if self._waiting else None

    def collect(self, oldest: tuple[Preprocessed, float]) -> Numbered:
        """Wait for the oldest frame's outputs."""
        preprocessed, start = oldest
        return _numbered(preprocessed, self._engine.collect(), since=start)


def _preprocess(taken: Taken, detector: Detector, out: Tensor | None = None) -> Preprocessed:
    start = time.perf_counter()
    tensor, transform = detector.preprocess(taken.frame.image, out)
    return Preprocessed(
        ticket=taken.ticket,
        frame=taken.frame,
        tensor=tensor,
        transform=transform,
        seconds=time.perf_counter() - start,
    )


def _infer(preprocessed: Preprocessed, detector: Detector) -> Numbered:
    start = time.perf_counter()
    return _numbered(preprocessed, detector.infer(preprocessed.tensor), since=start)


def _numbered(preprocessed: Preprocessed, outputs: dict[str, Tensor], *, since: float) -> Numbered:
    return preprocessed.ticket, Inferred(
        frame=preprocessed.frame,
        # The backend may write its next outputs into the same memory while these are decoded.
        outputs={name: output.copy() for name, output in outputs.items()},
        transform=preprocessed.transform,
        preprocess_seconds=preprocessed.seconds,
        infer_seconds=time.perf_counter() - since,
    )


def _thread(name: str, stage: Callable[[Detector], None], detector: Detector) -> threading.Thread:
    return threading.Thread(target=stage, args=(detector,), name=name, daemon=True)
