"""The order of overlapping runs, their memory and their graphs.

The device is a stand-in in the CPU's memory: its stream does nothing until somebody waits, and what was
captured runs at each launch. The engine is onnxruntime on the very graph that TensorRT compiles. So this
shows that the runs don't mix up their images and outputs, and nothing about CUDA or TensorRT.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgessd.core.errors import BackendError
from edgessd.core.tensors import TensorSpec
from edgessd.runtime.ort_backend import OrtBackend
from edgessd.runtime.tensorrt.gpu import GpuIdentity
from edgessd.runtime.tensorrt.runs import IN_FLIGHT, Runs

Step = Callable[[], None]


class HostCuda:
    """`Cuda` in the CPU's memory, which does its work as late as a device may."""

    library = "host"

    def __init__(self) -> None:
        self.memory: dict[int, np.ndarray] = {}
        self.queue: list[Step] = []
        self.captured: list[Step] | None = None
        self.passed: set[int] = set()
        self.destroyed: list[Any] = []

    def gpu(self) -> GpuIdentity:
        return GpuIdentity(name="host", capability=(8, 7), total_memory=1, unified=True)

    def allocate(self, size: int) -> tuple[int, Any]:
        block = np.zeros(size, np.uint8)
        self.memory[len(self.memory) + 1] = block
        return len(self.memory), block

    def allocate_host(self, size: int, *, mapped: bool) -> tuple[np.ndarray, int]:
        if not mapped:
            return np.zeros(size, np.uint8), 0
        address, block = self.allocate(size)
        return block, address

    def enqueue(self, step: Step) -> None:
        (self.queue if self.captured is None else self.captured).append(step)

    def copy_in(self, address: int, host: np.ndarray, stream: Any) -> None:
        self.enqueue(lambda: np.copyto(self.memory[address], host))

    def copy_out(self, host: np.ndarray, address: int, stream: Any) -> None:
        self.enqueue(lambda: np.copyto(host, self.memory[address]))

    def make_stream(self) -> Any:
        return "stream"

    def stream_address(self, stream: Any) -> int:
        return 1

    def wait_stream(self, stream: Any) -> None:
        while self.queue:
            self.queue.pop(0)()

    def make_event(self, *, timed: bool = False) -> Any:
        return [0]

    def record(self, event: Any, stream: Any) -> None:
        event[0] = 0
        self.queue.append(lambda: event.__setitem__(0, 1))

    def wait(self, event: Any) -> None:
        """Do the stream's work up to the event, as late as possible."""
        while not event[0]:
            self.queue.pop(0)()

    def milliseconds(self, start: Any, end: Any) -> float:
        assert start[0]
        assert end[0]
        return 10.0

    def begin_capture(self, stream: Any) -> None:
        assert self.captured is None
        self.captured = []

    def end_capture(self, stream: Any) -> Any:
        assert self.captured is not None
        steps, self.captured = self.captured, None
        return tuple(steps)

    def launch(self, graph: Any, stream: Any) -> None:
        self.queue.extend(graph)

    def destroy(self, *handles: Any) -> None:
        self.destroyed += [handle for handle in handles if handle is not None]


class OrtEngine:
    """`Enqueued` that runs the graph on the memory at the addresses bound when it was enqueued."""

    def __init__(self, backend: OrtBackend, cuda: HostCuda) -> None:
        self.backend = backend
        self.cuda = cuda
        self.bound: dict[str, int] = {}
        self.enqueued = 0
        self.capturable = True
        self.fails_in_capture = False

    def bind(self, name: str, address: int) -> None:
        self.bound[name] = address

    def can_be_captured(self, stream: int) -> bool:
        return self.capturable

    def enqueue(self, stream: int) -> None:
        if self.fails_in_capture and self.cuda.captured is not None:
            raise BackendError("TensorRT can't run it", found="operation not permitted in capture")
        self.enqueued += 1
        bound = dict(self.bound)
        memory = self.cuda.memory

        def run() -> None:
            spec = self.backend.input
            image = memory[bound[spec.name]].view(spec.numpy_dtype).reshape(spec.shape)
            for name, value in self.backend.infer(image).items():
                np.copyto(
                    memory[bound[name]], np.ascontiguousarray(value).reshape(-1).view(np.uint8)
                )

        self.cuda.enqueue(run)


@pytest.fixture(scope="module")
def reference(lowered) -> OrtBackend:
    return OrtBackend(lowered["int8-raw"].weak)


@pytest.fixture
def cuda() -> HostCuda:
    return HostCuda()


@pytest.fixture
def engine(reference: OrtBackend, cuda: HostCuda) -> OrtEngine:
    return OrtEngine(reference, cuda)


def runs_of(engine: OrtEngine, *, mapped: bool) -> Runs:
    backend = engine.backend
    return Runs(engine, engine.cuda, backend.input, backend.outputs, mapped=mapped)


def images(spec: TensorSpec, count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.integers(-128, 128, spec.shape).astype(spec.dtype) for _ in range(count)]


def expected(reference: OrtBackend, image: np.ndarray) -> dict[str, np.ndarray]:
    return {name: value.copy() for name, value in reference.infer(image).items()}


def assert_same(found: dict[str, Any], wanted: dict[str, np.ndarray]) -> None:
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value)


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize("captured", [True, False])
def test_overlapping_runs_keep_their_images_and_outputs_apart(
    engine: OrtEngine, reference: OrtBackend, mapped: bool, captured: bool
) -> None:
    engine.capturable = captured
    runs = runs_of(engine, mapped=mapped)
    assert (runs.without_graph == "") is captured
    frames = images(reference.input, 6)
    wanted = [expected(reference, frame) for frame in frames]
    tensor = np.empty(reference.input.shape, reference.input.dtype)
    found = []
    for number, frame in enumerate(frames):
        tensor[:] = frame  # the caller overwrites its buffer while the last run still waits
        runs.submit(tensor)
        if number:
            found.append({name: value.copy() for name, value in runs.collect().items()})
    found.append(runs.collect())
    for one, other in zip(found, wanted, strict=True):
        assert_same(one, other)


def test_outputs_are_valid_until_the_second_submit_after_them(
    engine: OrtEngine, reference: OrtBackend
) -> None:
    runs = runs_of(engine, mapped=True)
    first, second, third = images(reference.input, 3)
    runs.submit(first)
    runs.submit(second)
    held = runs.collect()
    runs.submit(third)
    runs.collect()
    runs.collect()
    assert_same(held, expected(reference, first))


def test_a_graph_enqueues_the_engine_once_for_each_slot(engine: OrtEngine) -> None:
    runs = runs_of(engine, mapped=False)
    before = engine.enqueued
    for image in images(engine.backend.input, 5):
        runs.submit(image)
        runs.collect()
    assert engine.enqueued == before


def test_without_graphs_each_run_is_enqueued(engine: OrtEngine) -> None:
    engine.capturable = False
    runs = runs_of(engine, mapped=False)
    before = engine.enqueued
    for image in images(engine.backend.input, 5):
        runs.submit(image)
        runs.collect()
    assert engine.enqueued == before + 5


def test_an_engine_that_fails_in_capture_runs_without(
    engine: OrtEngine, reference: OrtBackend
) -> None:
    engine.fails_in_capture = True
    runs = runs_of(engine, mapped=False)
    assert runs.without_graph == "operation not permitted in capture"
    assert engine.cuda.captured is None
    (image,) = images(reference.input, 1)
    runs.submit(image)
    assert_same(runs.collect(), expected(reference, image))


def test_a_third_run_is_refused_until_one_is_collected(engine: OrtEngine) -> None:
    runs = runs_of(engine, mapped=True)
    (image,) = images(engine.backend.input, 1)
    for _ in range(IN_FLIGHT):
        runs.submit(image)
    with pytest.raises(BackendError, match=r"at most 2.*collect\(\) first"):
        runs.submit(image)
    runs.collect()
    runs.submit(image)


def test_collecting_without_a_submitted_run_is_refused(engine: OrtEngine) -> None:
    with pytest.raises(BackendError, match="No run was submitted"):
        runs_of(engine, mapped=True).collect()


def test_the_gpus_own_time_is_the_mean_of_its_runs(engine: OrtEngine) -> None:
    runs = runs_of(engine, mapped=False)
    assert runs.gpu_milliseconds(4) == 2.5
    runs.submit(images(engine.backend.input, 1)[0])
    with pytest.raises(BackendError, match=r"collect\(\) first"):
        runs.gpu_milliseconds(4)


def test_closing_waits_and_frees_all_but_the_outputs(
    engine: OrtEngine, reference: OrtBackend
) -> None:
    runs = runs_of(engine, mapped=False)
    first, second = images(reference.input, 2)
    runs.submit(first)
    held = runs.collect()
    runs.submit(second)
    runs.close()
    assert engine.cuda.queue == []
    assert len(engine.cuda.destroyed) == 3 + 3 + 1  # graphs, events, the stream
    assert_same(held, expected(reference, first))
