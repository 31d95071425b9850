"""Overlapping stages: while the engine runs one frame, the next is preprocessed and the last postprocessed.

    Streams ─▶ preprocess ─▶ engine ─▶ postprocess and track ─▶ sinks, then the caller's loop

Each arrow is a bounded queue, so a slow stage holds up the stages before it and memory stays constant. A
frame of a live source is preprocessed on the engine's thread once the engine is free: preprocessed earlier,
it would only wait and grow old. Several engines (more than one Edge TPU, or one engine per core) share the
frames; their results come out in the order of the frames.
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
    """A frame and its input tensor.

    Attributes:
        ticket: Position of the frame in the order in which frames were taken.
        frame: The frame.
        tensor: Input of the engine.
        transform: From pixels of the frame to pixels of the tensor.
        seconds: Duration of the preprocessing.
    """

    ticket: int
    frame: Frame
    tensor: Tensor
    transform: ImageTransform
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Inferred:
    """A frame and the engine's outputs for it.

    Attributes:
        frame: The frame.
        outputs: Output tensors by name. Copies, which the receiver owns.
        transform: From pixels of the frame to pixels of the input tensor.
        preprocess_seconds: Duration of the preprocessing.
        infer_seconds: Duration of the inference.
    """

    frame: Frame
    outputs: dict[str, Tensor]
    transform: ImageTransform
    preprocess_seconds: float
    infer_seconds: float


Numbered = tuple[int, Inferred]


class Stages:
    """Preprocesses and infers frames, each stage on a thread of its own. Iterating yields `Inferred`.

    Args:
        streams: Source of the frames. Its errors are raised in the iteration.
        detectors: Detectors of one model, which share the frames.
    """

    def __init__(self, streams: Streams, detectors: Sequence[Detector]) -> None:
        self._streams = streams
        self._preprocessed: BoundedQueue[Preprocessed] = BoundedQueue()
        self._inferred: BoundedQueue[Inferred] = BoundedQueue()
        self._working = len(detectors)
        self._error: Exception | None = None
        self._leaving = threading.Lock()
        # One buffer waits, each engine may still read its own, and one is being filled. Results leave in
        # order, so no engine gets further ahead of another.
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
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def __iter__(self) -> Iterator[Inferred]:
        while (inferred := self._inferred.take()) is not None:
            yield inferred

    def close(self) -> None:
        """Stop the threads after their present frame. The streams must have ended before."""
        self._preprocessed.end()
        self._inferred.end()
        for thread in self._threads:
            if thread.ident is not None:
                # If an accelerator hangs in its driver, the program must still end.
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
        except Exception as error:  # noqa: BLE001 - raised again by `take`
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
        """Run one engine until its input ends. The last engine to end also ends the output.

        An error of the source is passed on after the frames of all engines. An error of an engine is passed
        on at once: the results after its frame can't leave in order any more.
        """
        error: Exception | None = None
        while True:
            try:
                item = take()
            except Exception as source_error:  # noqa: BLE001 - raised again in the caller's thread
                error = source_error
                break
            if item is None:
                break
            try:
                ticket, inferred = infer(item)
            except Exception as engine_error:  # noqa: BLE001 - raised again in the caller's thread
                self._inferred.end(engine_error)
                break
            if not self._inferred.put(inferred, ticket=ticket):
                break
        with self._leaving:
            self._error = self._error or error
            self._working -= 1
            if self._working == 0:
                self._inferred.end(self._error)


class _Overlap:
    """Keeps several frames in flight in an engine that accepts a frame while it runs another."""

    def __init__(self, engine: Overlapping, frames: BoundedQueue[Preprocessed]) -> None:
        self._engine = engine
        self._frames = frames
        self._waiting: deque[tuple[Preprocessed, float]] = deque()

    def submit_next(self) -> tuple[Preprocessed, float] | None:
        """Submit the frames that are ready and return the oldest frame in flight; None at the end."""
        while len(self._waiting) < self._engine.in_flight:
            preprocessed = self._frames.take(timeout=0 if self._waiting else None)
            if preprocessed is None:
                break
            self._waiting.append((preprocessed, time.perf_counter()))
            self._engine.submit(preprocessed.tensor)
        return self._waiting.popleft() if self._waiting else None

    def collect(self, oldest: tuple[Preprocessed, float]) -> Numbered:
        """Wait for the outputs of the oldest frame."""
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
        # The backend may write its next outputs to the same memory while these are decoded.
        outputs={name: output.copy() for name, output in outputs.items()},
        transform=preprocessed.transform,
        preprocess_seconds=preprocessed.seconds,
        infer_seconds=time.perf_counter() - since,
    )


def _thread(name: str, stage: Callable[[Detector], None], detector: Detector) -> threading.Thread:
    return threading.Thread(target=stage, args=(detector,), name=name, daemon=True)
