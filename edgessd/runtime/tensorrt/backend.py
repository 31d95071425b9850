"""TensorRT engines behind the backend interface, with runs that overlap."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgessd.core.errors import BackendError
from edgessd.core.tensors import TensorSpec
from edgessd.runtime.backend import Tensor, require_tensor
from edgessd.runtime.tensorrt.cuda_memory import (
    Cuda,
    Handle,
    TensorBuffer,
    open_cuda,
    shares_pages,
)
from edgessd.runtime.tensorrt.engine import LoadedEngine
from edgessd.runtime.tensorrt.plan import matching_provider, read_plan, require_gpu
from edgessd.runtime.tensorrt.provider import find_provider

# One run on the GPU, the next one enqueued behind it, and the outputs that the caller still reads.
_SLOTS = 3


@dataclass(kw_only=True, slots=True)
class _Slot:
    """Memory of one run, and the graph that runs on it."""

    image: TensorBuffer
    outputs: dict[str, TensorBuffer]
    done: Handle
    graph: Handle = None


class TensorRtBackend:
    """Runs a plan. See `Backend` and `Overlapping` for the interface.

    All runs go through one stream in the order in which they were submitted. While the GPU works at one,
    the CPU prepares the next and decodes the last.

    Args:
        path: A plan of the engine cache, or the engine of a bundle that was compiled ahead of time.
        threads: Of the CPU; stated in `details` only.

    Raises:
        BackendError: No TensorRT or CUDA here, another version or GPU than the plan's, or no memory.
    """

    name = "tensorrt"
    in_flight = 2

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        plan = read_plan(path)
        provider = matching_provider(plan)
        self._cuda: Cuda = open_cuda()
        gpu = self._cuda.gpu()
        require_gpu(plan, gpu)
        self.input: TensorSpec = plan.image
        self.outputs: tuple[TensorSpec, ...] = plan.outputs
        self.metadata: dict[str, str] = {}
        self._engine: LoadedEngine | None = LoadedEngine(plan, provider)
        self._pending: deque[_Slot] = deque()
        self._next = 0
        mapped = shares_pages(gpu)
        self._stream = self._cuda.make_stream()
        self._slots = [self._make_slot(mapped=mapped) for _ in range(_SLOTS)]
        without_graph = self._warm_up()
        self._engine.keep_kernels()
        self.details: dict[str, Any] = {
            "library": provider.name,
            "version": provider.version_text,
            "threads": threads,
            "delegate": f"{gpu.name}, compute capability {gpu.compute_capability}",
            "dla_core": plan.dla_core,
            "cuda": self._cuda.library,
            "memory": "mapped" if mapped else "page-locked, copied",
            "cuda_graph": without_graph or "captured",
        }
        if self._engine.kernels_kept:
            self.details["kernels"] = self._engine.kernels_kept

    def infer(self, tensor: Tensor) -> dict[str, Tensor]:
        """Run once. The outputs are valid until the second call after this one."""
        if self._pending:
            raise BackendError(
                "A submitted run waits to be collected",
                found=f"{len(self._pending)} of them",
                fix="Call collect() before infer()",
            )
        self.submit(tensor)
        return self.collect()

    def submit(self, tensor: Tensor) -> None:
        """Begin a run; the tensor may be written again once this has returned."""
        engine = self._require_open()
        require_tensor(tensor, self.input)
        if len(self._pending) == self.in_flight:
            raise BackendError(
                "No more runs fit in",
                expected=f"at most {self.in_flight} that wait to be collected",
                fix="Call collect() first",
            )
        slot = self._slots[self._next]
        np.copyto(slot.image.host, tensor)
        if slot.graph is not None:
            self._cuda.launch(slot.graph, self._stream)
        else:
            self._enqueue(engine, slot)
        self._cuda.record(slot.done, self._stream)
        self._pending.append(slot)
        self._next = (self._next + 1) % _SLOTS

    def collect(self) -> dict[str, Tensor]:
        """Outputs of the oldest submitted run, valid until the second submit after this one."""
        self._require_open()
        if not self._pending:
            raise BackendError("Nothing was submitted", fix="Call submit() before collect()")
        slot = self._pending.popleft()
        self._cuda.wait(slot.done)
        return {name: buffer.host for name, buffer in slot.outputs.items()}

    def gpu_milliseconds(self, runs: int) -> float:
        """Mean of one run by the GPU's own clock, enqueued back to back: what no program can beat."""
        engine = self._require_open()
        cuda, slot = self._cuda, self._slots[self._next]
        if self._pending:
            raise BackendError("A submitted run waits to be collected", fix="Call collect() first")
        start, end = cuda.make_event(timed=True), cuda.make_event(timed=True)
        try:
            cuda.record(start, self._stream)
            for _ in range(runs):
                if slot.graph is not None:
                    cuda.launch(slot.graph, self._stream)
                else:
                    self._enqueue(engine, slot)
            cuda.record(end, self._stream)
            cuda.wait(end)
            return cuda.milliseconds(start, end) / runs
        finally:
            cuda.destroy(start, end)

    def close(self) -> None:
        """Free the engine, once the GPU has ended its runs. Calling it twice is fine."""
        if self._engine is None:
            return
        # Also if the stream failed: what it failed with was raised by collect(), or by nobody's need.
        self._pending.clear()
        try:
            self._cuda.wait_stream(self._stream)
        finally:
            graphs = [slot.graph for slot in self._slots]
            events = [slot.done for slot in self._slots]
            self._engine = None
            self._slots = []  # outputs that a caller still holds keep their own memory
            self._cuda.destroy(*graphs, *events, self._stream)

    def _require_open(self) -> LoadedEngine:
        if self._engine is None:
            raise BackendError("The engine was closed", fix="Open the model again")
        return self._engine

    def _make_slot(self, *, mapped: bool) -> _Slot:
        return _Slot(
            image=TensorBuffer(self._cuda, self.input, mapped=mapped),
            outputs={
                spec.name: TensorBuffer(self._cuda, spec, mapped=mapped) for spec in self.outputs
            },
            done=self._cuda.make_event(),
        )

    def _enqueue(self, engine: LoadedEngine, slot: _Slot) -> None:
        """Bring the image over, run, bring the outputs back: all of it only begun."""
        slot.image.upload(self._stream)
        engine.bind(self.input.name, slot.image.address)
        for name, buffer in slot.outputs.items():
            engine.bind(name, buffer.address)
        engine.enqueue(self._cuda.stream_address(self._stream))
        for buffer in slot.outputs.values():
            buffer.download(self._stream)

    def _warm_up(self) -> str:
        """Run each slot once, then make a graph of it; "" or why there is none.

        The first run allocates and, in TensorRT-RTX, compiles: neither may happen within a capture.
        """
        engine = self._require_open()
        for slot in self._slots:
            slot.image.host.fill(0)
            self._enqueue(engine, slot)
            self._cuda.wait_stream(self._stream)
        if not engine.can_be_captured(self._cuda.stream_address(self._stream)):
            return "not captured: the engine can't be"
        try:
            for slot in self._slots:
                slot.graph = self._capture(engine, slot)
        except BackendError as error:
            # It runs without graphs, too, only with more work for the CPU; details say so.
            self._cuda.destroy(*(slot.graph for slot in self._slots))
            for slot in self._slots:
                slot.graph = None
            return f"not captured: {error.found or error.problem}"
        return ""

    def _capture(self, engine: LoadedEngine, slot: _Slot) -> Handle:
        self._cuda.begin_capture(self._stream)
        try:
            self._enqueue(engine, slot)
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


def open_engine(path: Path, *, threads: int) -> TensorRtBackend:
    """What the catalog calls."""
    return TensorRtBackend(path, threads=threads)


def library_version() -> str:
    """E.g. "TensorRT 10.3.0"; raises BackendError where there is none."""
    return find_provider().title
