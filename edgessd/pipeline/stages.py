"""Stages that overlap: while the engine looks at one frame, the next is prepared, the last is finished.

    source ─▶ ReadAhead ─▶ prepare ─▶ engine ─▶ finish and sinks (the caller's thread)

Each arrow is a bounded hand-over, so a slow stage holds up those before it and memory stays flat. A live
source is prepared on the engine's own thread, at the moment the engine is free: a frame that was prepared
ahead would only wait and grow old.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from edgessd.core.preprocess import Placement
from edgessd.pipeline.frames import Frame
from edgessd.runtime.backend import Overlapping, Tensor

if TYPE_CHECKING:
    from edgessd.runtime.detector import Detector

T = TypeVar("T")

# The engine may still read the first buffer while the second waits and the third is being filled.
_BUFFERS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A frame as the engine wants it."""

    frame: Frame
    tensor: Tensor
    placement: Placement
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Inferred:
    """What the engine made of a frame; the outputs are the receiver's own."""

    frame: Frame
    outputs: dict[str, Tensor]
    placement: Placement
    prepare_seconds: float
    infer_seconds: float


class Handover(Generic[T]):
    """A bounded queue between two threads that ends, with or without an error.

    Args:
        depth: Items that may wait.
    """

    def __init__(self, depth: int = 1) -> None:
        self._depth = depth
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._error: Exception | None = None

    def put(self, item: T) -> bool:
        """Wait for room and hand over; False if nobody takes anything any more."""
        with self._changed:
            while len(self._items) >= self._depth and not self._ended:
                self._changed.wait()
            if self._ended:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def take(self, *, wait: bool = True) -> T | None:
        """The next item; None after the last, or if there is none yet and `wait` is false.

        Raises:
            Exception: What the giving side failed with, after its last item, to whoever waits for more.
        """
        with self._changed:
            while wait and not self._items and not self._ended:
                self._changed.wait()
            if self._items:
                item = self._items.popleft()
                self._changed.notify_all()
                return item
            if wait and self._error is not None:
                raise self._error
            return None

    def end(self, error: Exception | None = None) -> None:
        """Give nothing more; what waits can still be taken. The first error counts."""
        with self._changed:
            self._ended = True
            self._error = self._error or error
            self._changed.notify_all()


class Stages:
    """Frames in, `Inferred` out, each stage on a thread of its own.

    Args:
        frames: Ends when the source does; its errors come out of the iteration.
        detector: Prepares and infers.
        live: Whether frames grow old while they wait.
    """

    def __init__(self, frames: Iterable[Frame], detector: Detector, *, live: bool) -> None:
        self._frames = frames
        self._detector = detector
        self._prepared: Handover[Prepared] = Handover()
        self._inferred: Handover[Inferred] = Handover()
        if live:
            stages = {"edgessd-engine": self._infer_live}
        else:
            stages = {"edgessd-prepare": self._prepare_ahead, "edgessd-engine": self._infer_ahead}
        self._threads = [
            threading.Thread(target=stage, name=name, daemon=True) for name, stage in stages.items()
        ]
        for thread in self._threads:
            thread.start()

    def __iter__(self) -> Iterator[Inferred]:
        while (inferred := self._inferred.take()) is not None:
            yield inferred

    def close(self) -> None:
        """Stop and wait for the frame that the engine is at. The frames must have been ended before."""
        self._prepared.end()
        self._inferred.end()
        for thread in self._threads:
            # An accelerator that hangs in its driver must not keep the program from ending.
            thread.join(timeout=5)

    def _prepare_ahead(self) -> None:
        def give() -> None:
            for prepared in self._prepare_each():
                if not self._prepared.put(prepared):
                    return

        _until_done(give, self._prepared)

    def _infer_ahead(self) -> None:
        def give() -> None:
            engine = self._detector.backend
            if isinstance(engine, Overlapping):
                self._infer_overlapping(engine)
                return
            while (prepared := self._prepared.take()) is not None:
                if not self._inferred.put(self._infer(prepared)):
                    return

        _until_done(give, self._inferred)

    def _infer_live(self) -> None:
        def give() -> None:
            for prepared in self._prepare_each():
                if not self._inferred.put(self._infer(prepared)):
                    return

        _until_done(give, self._inferred)

    def _prepare_each(self) -> Iterator[Prepared]:
        buffers: deque[Tensor] = deque()
        for frame in self._frames:
            start = time.perf_counter()
            out = buffers.popleft() if len(buffers) == _BUFFERS else None
            tensor, placement = self._detector.prepare(frame.image, out)
            buffers.append(tensor)
            yield Prepared(
                frame=frame,
                tensor=tensor,
                placement=placement,
                seconds=time.perf_counter() - start,
            )

    def _infer(self, prepared: Prepared) -> Inferred:
        start = time.perf_counter()
        # The backend may write its next outputs into the same memory while these are decoded.
        outputs = {
            name: output.copy() for name, output in self._detector.infer(prepared.tensor).items()
        }
        return _inferred(prepared, outputs, since=start)

    def _infer_overlapping(self, engine: Overlapping) -> None:
        """Submit a frame that is ready before the outputs of the last one are collected."""
        waiting: deque[tuple[Prepared, float]] = deque()
        while True:
            prepared = self._prepared.take(wait=not waiting)
            if prepared is not None:
                waiting.append((prepared, time.perf_counter()))
                engine.submit(prepared.tensor)
                if len(waiting) < engine.in_flight:
                    continue
            if not waiting:
                return
            oldest, start = waiting.popleft()
            outputs = {name: output.copy() for name, output in engine.collect().items()}
            if not self._inferred.put(_inferred(oldest, outputs, since=start)):
                return


def _inferred(prepared: Prepared, outputs: dict[str, Tensor], *, since: float) -> Inferred:
    return Inferred(
        frame=prepared.frame,
        outputs=outputs,
        placement=prepared.placement,
        prepare_seconds=prepared.seconds,
        infer_seconds=time.perf_counter() - since,
    )


def _until_done(give: Callable[[], None], to: Handover[T]) -> None:
    """Run a stage; its end and its error reach the next one, which raises it in the caller's thread."""
    try:
        give()
    except Exception as error:  # noqa: BLE001  # whatever it is, `take` raises it again
        to.end(error)
    else:
        to.end()
