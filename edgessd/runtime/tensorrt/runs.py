"""Runs of one engine that overlap: memory of each, their order, and the CUDA graphs that start them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edgessd.core.errors import BackendError
from edgessd.core.tensors import TensorSpec
from edgessd.runtime.backend import Tensor
from edgessd.runtime.tensorrt.cuda_memory import Cuda, Handle, TensorBuffer

IN_FLIGHT = 2
# The runs in flight, and the one whose outputs the caller still reads.
_SLOTS = IN_FLIGHT + 1


class Enqueued(Protocol):
    """What can be run on a stream: a `LoadedEngine`."""

    def bind(self, name: str, address: int) -> None:
        """Say where a tensor lies on the device, from the next enqueue on."""
        ...

    def enqueue(self, stream: int) -> None:
        """Begin a run on a stream, given by its address."""
        ...

    def can_be_captured(self, stream: int) -> bool:
        """Whether a CUDA graph may be made of a run."""
        ...


@dataclass(kw_only=True, slots=True)
class _Slot:
    """Memory of one run, and the graph that runs on it."""

    image: TensorBuffer
    outputs: dict[str, TensorBuffer]
    done: Handle
    graph: Handle = None


class Runs:
    """Runs an engine on one stream, in the order in which runs are submitted.

    While the GPU works at one run, the CPU prepares the next and decodes the last.

    Args:
        engine: Enqueued once for each run, or once for each slot where graphs can be captured.
        cuda: Memory and streams.
        image, outputs: The engine's tensors.
        mapped: Whether CPU and GPU use the same pages.

    Attributes:
        without_graph: Why no CUDA graph was captured, "" if each slot has one.

    Raises:
        BackendError: No memory, or the engine doesn't run.
    """

    def __init__(
        self,
        engine: Enqueued,
        cuda: Cuda,
        image: TensorSpec,
        outputs: tuple[TensorSpec, ...],
        *,
        mapped: bool,
    ) -> None:
        self._engine = engine
        self._cuda = cuda
        self._image = image
        self._outputs = outputs
        self._pending: deque[_Slot] = deque()
        self._next = 0
        self._stream = cuda.make_stream()
        self._slots = [self._make_slot(mapped=mapped) for _ in range(_SLOTS)]
        self.without_graph = self._warm_up()

    @property
    def pending(self) -> int:
        """Runs that were submitted and not yet collected."""
        return len(self._pending)

    def submit(self, tensor: Tensor) -> None:
        """Begin a run; the tensor may be written again once this has returned.

        Raises:
            BackendError: `IN_FLIGHT` runs wait to be collected, or CUDA fails.
        """
        if self.pending == IN_FLIGHT:
            raise BackendError(
                "No more runs fit in",
                expected=f"at most {IN_FLIGHT} that wait to be collected",
                fix="Call collect() first",
            )
        slot = self._slots[self._next]
        np.copyto(slot.image.host, tensor)
        self._start(slot)
        self._cuda.record(slot.done, self._stream)
        self._pending.append(slot)
        self._next = (self._next + 1) % _SLOTS

    def collect(self) -> dict[str, Tensor]:
        """Outputs of the oldest submitted run, valid until the second submit after this one.

        Raises:
            BackendError: There is none, or it failed on the device.
        """
        if not self._pending:
            raise BackendError("Nothing was submitted", fix="Call submit() before collect()")
        slot = self._pending.popleft()
        self._cuda.wait(slot.done)
        return {name: buffer.host for name, buffer in slot.outputs.items()}

    def gpu_milliseconds(self, runs: int) -> float:
        """Mean of one run by the GPU's own clock, enqueued back to back: what no program can beat.

        Raises:
            BackendError: Runs wait to be collected, or CUDA fails.
        """
        if self._pending:
            raise BackendError("A submitted run waits to be collected", fix="Call collect() first")
        cuda, slot = self._cuda, self._slots[self._next]
        start, end = cuda.make_event(timed=True), cuda.make_event(timed=True)
        try:
            cuda.record(start, self._stream)
            for _ in range(runs):
                self._start(slot)
            cuda.record(end, self._stream)
            cuda.wait(end)
            return cuda.milliseconds(start, end) / runs
        finally:
            cuda.destroy(start, end)

    def close(self) -> None:
        """Wait for the GPU, then free everything but the outputs that a caller still holds."""
        slots, self._slots = self._slots, []
        self._pending.clear()
        try:
            self._cuda.wait_stream(self._stream)
        finally:
            handles = [handle for slot in slots for handle in (slot.graph, slot.done)]
            self._cuda.destroy(*handles, self._stream)

    def _make_slot(self, *, mapped: bool) -> _Slot:
        cuda = self._cuda
        return _Slot(
            image=TensorBuffer(cuda, self._image, mapped=mapped),
            outputs={spec.name: TensorBuffer(cuda, spec, mapped=mapped) for spec in self._outputs},
            done=cuda.make_event(),
        )

    def _start(self, slot: _Slot) -> None:
        if slot.graph is not None:
            self._cuda.launch(slot.graph, self._stream)
        else:
            self._enqueue(slot)

    def _enqueue(self, slot: _Slot) -> None:
        """Bring the image over, run, bring the outputs back: all of it only begun."""
        slot.image.upload(self._stream)
        self._engine.bind(self._image.name, slot.image.address)
        for name, buffer in slot.outputs.items():
            self._engine.bind(name, buffer.address)
        self._engine.enqueue(self._cuda.stream_address(self._stream))
        for buffer in slot.outputs.values():
            buffer.download(self._stream)

    def _warm_up(self) -> str:
        """Run each slot once, then make a graph of it; "" or why there is none.

        The first run allocates and, in TensorRT-RTX, compiles: neither may happen within a capture.
        """
        for slot in self._slots:
            slot.image.host.fill(0)
            self._enqueue(slot)
            self._cuda.wait_stream(self._stream)
        if not self._engine.can_be_captured(self._cuda.stream_address(self._stream)):
            return "the engine can't be captured"
        try:
            for slot in self._slots:
                slot.graph = self._capture(slot)
        except BackendError as error:
            # It runs without graphs, too, with more work for the CPU; a benchmark states it.
            self._cuda.destroy(*(slot.graph for slot in self._slots))
            for slot in self._slots:
                slot.graph = None
            return error.found or error.problem
        return ""

    def _capture(self, slot: _Slot) -> Handle:
        self._cuda.begin_capture(self._stream)
        try:
            self._enqueue(slot)
        except BackendError:
            # A stream stays in capture until it is ended, whatever became of what was captured.
            self._cuda.destroy(self._abandoned_capture())
            raise
        return self._cuda.end_capture(self._stream)

    def _abandoned_capture(self) -> Handle:
        try:
            return self._cuda.end_capture(self._stream)
        except BackendError:  # the capture is invalid, as expected, and has ended
            return None
