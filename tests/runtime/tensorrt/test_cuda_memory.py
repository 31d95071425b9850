"""Memory, streams and graphs through both CUDA libraries; most tests need a GPU."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from edgessd.core.errors import BackendError
from edgessd.core.tensors import TensorSpec
from edgessd.runtime.tensorrt.cuda_memory import Cuda, TensorBuffer, shares_pages
from edgessd.runtime.tensorrt.gpu import GpuIdentity
from edgessd.runtime.tensorrt.open_cuda import open_cuda


@pytest.mark.parametrize(
    ("capability", "unified", "mapped"),
    [
        ((5, 3), True, False),  # Nano: mapped pages aren't cached by its CPU
        ((6, 2), True, False),
        ((7, 2), True, True),
        ((8, 7), True, True),
        ((11, 0), True, True),
        ((8, 9), False, False),  # a graphics card has memory of its own
    ],
)
def test_pages_are_shared_where_that_is_faster(capability, unified: bool, mapped: bool) -> None:
    gpu = GpuIdentity(name="x", capability=capability, total_memory=1, unified=unified)
    assert shares_pages(gpu) is mapped


@pytest.fixture(params=["pycuda", "cuda-python"])
def cuda(request: pytest.FixtureRequest) -> Cuda:
    module = {"pycuda": "pycuda", "cuda-python": "cuda.bindings.runtime"}[request.param]
    if importlib.util.find_spec(module.split(".")[0]) is None:
        pytest.skip(f"{request.param} isn't installed")
    try:
        return open_cuda(request.param)
    except BackendError as error:
        pytest.skip(str(error))


SPEC = TensorSpec(name="image", shape=(1, 3, 300, 300), dtype="int8")


def as_bytes(buffer: TensorBuffer) -> np.ndarray:
    """View a buffer's host memory as bytes."""
    return buffer.host.reshape(-1).view(np.uint8)


def test_memory_is_copied_to_the_device_and_back(cuda: Cuda) -> None:
    stream = cuda.make_stream()
    source, target = (TensorBuffer(cuda, SPEC, mapped=False) for _ in range(2))
    source.host[:] = np.random.default_rng(0).integers(-128, 128, SPEC.shape)
    target.address = source.address
    source.upload(stream)
    target.download(stream)
    cuda.wait_stream(stream)
    np.testing.assert_array_equal(target.host, source.host)
    cuda.destroy(stream)


def test_mapped_memory_has_one_address_on_the_device(cuda: Cuda) -> None:
    buffer = TensorBuffer(cuda, SPEC, mapped=True)
    assert buffer.address
    other, stream = TensorBuffer(cuda, SPEC, mapped=False), cuda.make_stream()
    buffer.host[:] = 7
    cuda.copy_out(as_bytes(other), buffer.address, stream)
    cuda.wait_stream(stream)
    assert (other.host == 7).all()
    cuda.destroy(stream)


def test_a_captured_copy_runs_at_each_launch(cuda: Cuda) -> None:
    stream, event = cuda.make_stream(), cuda.make_event()
    buffer = TensorBuffer(cuda, SPEC, mapped=False)
    back = TensorBuffer(cuda, SPEC, mapped=False)
    cuda.begin_capture(stream)
    buffer.upload(stream)
    cuda.copy_out(as_bytes(back), buffer.address, stream)
    graph = cuda.end_capture(stream)
    for value in (1, 2, 3):
        buffer.host[:] = value
        cuda.launch(graph, stream)
        cuda.record(event, stream)
        cuda.wait(event)
        assert (back.host == value).all()
    cuda.destroy(graph, event, stream)


def test_outputs_stay_valid_after_everything_else_is_freed(cuda: Cuda) -> None:
    host = TensorBuffer(cuda, SPEC, mapped=False).host
    host[:] = 5
    assert (host == 5).all()


def test_a_request_for_too_much_memory_is_refused_with_numbers(cuda: Cuda) -> None:
    with pytest.raises(BackendError, match=r"memory is used up.*MiB requested, \d+ MiB free"):
        cuda.allocate(cuda.gpu().total_memory * 4)
