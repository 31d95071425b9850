"""CUDA through its libraries: every call exists, every failure says what to do.

The tests from `test_memory_goes_there_and_back` on need a GPU and skip without one.
"""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import numpy as np
import pytest

from edgessd.core.errors import BackendError
from edgessd.core.tensors import TensorSpec
from edgessd.runtime.tensorrt import cuda_pycuda, cuda_python
from edgessd.runtime.tensorrt.cuda_errors import cuda_error, driver_too_old
from edgessd.runtime.tensorrt.cuda_memory import Cuda, TensorBuffer, shares_pages
from edgessd.runtime.tensorrt.gpu import GpuIdentity
from edgessd.runtime.tensorrt.open_cuda import identify_gpu, open_cuda

MIB = 1 << 20


def called(module: object, pattern: str) -> set[str]:
    """Attributes of `self._cuda` and the local `cuda` that a module's code uses."""
    tree = ast.parse(Path(module.__file__).read_text())  # type: ignore[attr-defined]
    owners = {"_cuda", "cuda"}
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and (getattr(node.value, "attr", None) or getattr(node.value, "id", None)) in owners
        and re.match(pattern, node.attr)
    }


def test_cuda_python_has_every_call_with_these_arguments() -> None:
    runtime = pytest.importorskip("cuda.bindings.runtime", reason="needs cuda-python")
    names = called(cuda_python, "cuda")
    assert len(names) > 25
    assert sorted(name for name in names if not hasattr(runtime, name)) == []
    arguments = {
        "cudaMemcpyAsync": 5,
        "cudaHostAlloc": 2,
        "cudaHostGetDevicePointer": 2,
        "cudaStreamBeginCapture": 2,
        "cudaGraphInstantiateWithFlags": 2,
        "cudaGraphLaunch": 2,
        "cudaEventElapsedTime": 2,
        "cudaEventRecord": 2,
    }
    for name, count in arguments.items():
        signature = getattr(runtime, name).__doc__.strip().splitlines()[0]
        assert len(re.findall(r"[^,()]+(?=[,)])", signature)) == count, signature
    assert {"cudaMemcpyHostToDevice", "cudaMemcpyDeviceToHost"} <= set(dir(runtime.cudaMemcpyKind))
    assert hasattr(runtime.cudaStreamCaptureMode, "cudaStreamCaptureModeThreadLocal")
    fields = set(dir(runtime.cudaDeviceProp))
    assert {"name", "major", "minor", "totalGlobalMem", "integrated"} <= fields


def test_the_handles_of_cuda_python_are_told_apart_by_their_types() -> None:
    runtime = pytest.importorskip("cuda.bindings.runtime", reason="needs cuda-python")
    for name in ("cudaStream_t", "cudaEvent_t", "cudaGraphExec_t"):
        assert type(getattr(runtime, name)(0)).__name__ == name
        assert int(getattr(runtime, name)(5)) == 5


def test_graphs_for_pycuda_call_the_driver_as_cuda_python_does() -> None:
    driver = pytest.importorskip("cuda.bindings.driver", reason="needs cuda-python")
    source = Path(cuda_pycuda.__file__).read_text()
    names = set(re.findall(r'"(cu[A-Z]\w+)"', source))
    assert len(names) == 6
    # cuda.h gives the plain names to the newest version of a call; the library has both.
    plain = {"cuStreamBeginCapture_v2": "cuStreamBeginCapture"}
    plain["cuGraphInstantiateWithFlags"] = "cuGraphInstantiate"
    for name in names:
        assert hasattr(driver, plain.get(name, name)), name
    mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
    assert int(mode) == cuda_pycuda._CAPTURE_THREAD_LOCAL


def test_without_a_driver_every_door_says_so(no_gpu) -> None:
    pytest.importorskip("cuda.bindings.runtime", reason="needs cuda-python")
    for door in (open_cuda, identify_gpu, lambda: open_cuda("cuda-python")):
        with pytest.raises(BackendError, match=r"CUDA doesn't run on this machine.*edgessd doctor"):
            door()


def test_without_a_library_it_names_both(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> object:
        raise ModuleNotFoundError(f"No module named {name!r}")

    for module in (cuda_python, cuda_pycuda):
        monkeypatch.setattr(module, "import_module", absent)
    with pytest.raises(BackendError) as caught:
        open_cuda()
    text = str(caught.value)
    assert "pycuda: No module named 'pycuda.driver'" in text
    assert "cuda-python: No module named 'cuda.bindings.runtime'" in text
    assert 'pip install "cuda-python==12.*"' in text


def test_an_unknown_library_is_refused() -> None:
    with pytest.raises(BackendError, match="pycuda or cuda-python"):
        open_cuda("cupy")


def test_out_of_memory_says_what_was_asked_and_what_is_free() -> None:
    error = cuda_error(
        2, "cudaErrorMemoryAllocation", "out of memory", "allocate", size=300 * MIB, free=12 * MIB
    )
    text = str(error)
    assert "300.0 MiB requested, 12 MiB free" in text
    assert "cudaErrorMemoryAllocation (2): out of memory" in text
    assert "swap" in text
    assert "workspace_mb" in text


def test_a_gpu_in_a_container_without_the_nvidia_runtime_is_explained() -> None:
    text = str(cuda_error(100, "cudaErrorNoDevice", "no CUDA-capable device is detected", "find"))
    assert "no CUDA-capable device" in text
    assert "--runtime nvidia" in text


def test_any_other_failure_keeps_cudas_words() -> None:
    text = str(cuda_error(700, "cudaErrorIllegalAddress", "an illegal access", "run the engine"))
    assert text.startswith("CUDA failed to run the engine. Found cudaErrorIllegalAddress (700)")


def test_a_library_newer_than_the_driver_names_the_one_that_fits() -> None:
    text = str(driver_too_old("cuda-python 13.0.1", 13000, 12060))
    assert "Expected CUDA 12.6 or older" in text
    assert "Found CUDA 13.0" in text
    assert '"cuda-python==12.*"' in text


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


@pytest.mark.parametrize(
    ("capability", "int8"),
    [((5, 3), False), ((6, 0), False), ((6, 1), True), ((6, 2), False), ((7, 2), True)],
)
def test_int8_is_known_by_the_capability(capability, int8: bool) -> None:
    gpu = GpuIdentity(name="x", capability=capability, total_memory=1, unified=True)
    assert gpu.has_int8 is int8


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


def test_memory_goes_there_and_back(cuda: Cuda) -> None:
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
    cuda.copy_out(other._bytes, buffer.address, stream)
    cuda.wait_stream(stream)
    assert (other.host == 7).all()
    cuda.destroy(stream)


def test_a_captured_copy_runs_at_each_launch(cuda: Cuda) -> None:
    stream, event = cuda.make_stream(), cuda.make_event()
    buffer = TensorBuffer(cuda, SPEC, mapped=False)
    back = TensorBuffer(cuda, SPEC, mapped=False)
    cuda.begin_capture(stream)
    buffer.upload(stream)
    cuda.copy_out(back._bytes, buffer.address, stream)
    graph = cuda.end_capture(stream)
    for value in (1, 2, 3):
        buffer.host[:] = value
        cuda.launch(graph, stream)
        cuda.record(event, stream)
        cuda.wait(event)
        assert (back.host == value).all()
    cuda.destroy(graph, event, stream)


def test_outputs_outlive_everything_else(cuda: Cuda) -> None:
    host = TensorBuffer(cuda, SPEC, mapped=False).host
    host[:] = 5
    assert (host == 5).all()


def test_more_memory_than_there_is_is_refused_with_numbers(cuda: Cuda) -> None:
    with pytest.raises(BackendError, match=r"memory is used up.*MiB requested, \d+ MiB free"):
        cuda.allocate(cuda.gpu().total_memory * 4)
