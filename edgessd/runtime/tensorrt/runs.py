"""Overlapping runs of one engine: their memory, their order, and the CUDA graphs that start them."""

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
# Runs in flight, and one whose outputs the caller still reads.
_SLOTS = IN_FLIGHT + 1


class Enqueued(Protocol):
    """Part of `LoadedEngine` that runs it on a stream."""

    def bind(self, name: str, address: int) -> None:
        """Set the device address of a tensor, for the next enqueue and later ones."""
        ...

    def enqueue(self, stream: int) -> None:
        """Begin a run on the stream with this address."""
        ...

    def can_be_captured(self, stream: int) -> bool:
        """Tell if a CUDA graph of a run may be captured."""
        ...


@dataclass(kw_only=True, slots=True)
class _Slot:
    """Memory of one run, and the CUDA graph that uses it."""

    image: TensorBuffer
    outputs: dict[str, TensorBuffer]
    done: Handle
    graph: Handle = None


class Runs:
    """Runs an engine on one stream, in the order in which runs are submitted.

    While the GPU runs one frame, the CPU preprocesses the next and postprocesses the last.

    Args:
        engine: Engine; it is enqueued for each run, or once for each slot if graphs can be captured.
        cuda: CUDA library.
        image, outputs: Tensors of the engine.
        mapped: True if CPU and GPU use the same pages.

    Attributes:
        without_graph: Reason why no CUDA graph was captured; "" if each slot has one.

    Raises:
        BackendError: Memory is full, or the engine doesn't run.
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
        """Number of runs that were submitted and not yet collected."""
        return len(self._pending)

    def submit(self, tensor: Tensor) -> None:
        """Begin a run. The tensor may be overwritten after the call.

        Raises:
            BackendError: `IN_FLIGHT` runs aren't collected yet, or CUDA fails.
        """
        if self.pending == IN_FLIGHT:
            raise BackendError(
                "Too many runs are submitted at once",
                expected=f"at most {IN_FLIGHT} runs before collect()",
                fix="Call collect() first",
            )
        slot = self._slots[self._next]
        np.copyto(slot.image.host, tensor)
        self._start(slot)
        self._cuda.record(slot.done, self._stream)
        self._pending.append(slot)
        self._next = (self._next + 1) % _SLOTS

    def collect(self) -> dict[str, Tensor]:
        """Return the outputs of the oldest submitted run, valid until the second submit after the call.

        Raises:
            BackendError: No run was submitted, or it failed on the device.
        """
        if not self._pending:
            raise BackendError("No run was submitted", fix="Call submit() before collect()")
        slot = self._pending.popleft()
        self._cuda.wait(slot.done)
        return {name: buffer.host for name, buffer in slot.outputs.items()}

    def gpu_milliseconds(self, runs: int) -> float:
        """Measure the mean of runs enqueued back to back, in milliseconds of the GPU's clock.

        Raises:
            BackendError: Submitted runs aren't collected yet, or CUDA fails.
        """
        if self._pending:
            raise BackendError("Submitted runs must be collected first", fix="Call collect() first")
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
        """Wait for the GPU, then free everything except outputs that a caller still holds."""
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
        """Begin to upload the image, run the engine, and download the outputs."""
        slot.image.upload(self._stream)
        self._engine.bind(self._image.name, slot.image.address)
        for name, buffer in slot.outputs.items():
            self._engine.bind(name, buffer.address)
        self._engine.enqueue(self._cuda.stream_address(self._stream))
        for buffer in slot.outputs.values():
            buffer.download(self._stream)

    def _warm_up(self) -> str:
        """Run each slot once, then capture a graph of it; return "" or the reason why there is none.

        The first run allocates and, in TensorRT-RTX, compiles, which isn't allowed during a capture.
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
            # The engine runs without graphs, too, with more work for the CPU; `details` states it.
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
            # A stream remains in capture mode until the capture is ended, also after an error.
            self._cuda.destroy(self._abandoned_capture())
            raise
        return self._cuda.end_capture(self._stream)

    def _abandoned_capture(self) -> Handle:
        try:
            return self._cuda.end_capture(self._stream)
        except BackendError:  # the invalid capture has ended, as expected
            return None
