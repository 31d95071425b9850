"""Calls of both CUDA libraries, looked up in the installed libraries."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from edgessd.runtime.tensorrt import cuda_pycuda, cuda_python


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


def test_the_handles_of_cuda_python_have_types_of_their_own() -> None:
    runtime = pytest.importorskip("cuda.bindings.runtime", reason="needs cuda-python")
    for name in ("cudaStream_t", "cudaEvent_t", "cudaGraphExec_t"):
        assert type(getattr(runtime, name)(0)).__name__ == name
        assert int(getattr(runtime, name)(5)) == 5


def test_graphs_for_pycuda_call_the_driver_as_cuda_python_does() -> None:
    driver = pytest.importorskip("cuda.bindings.driver", reason="needs cuda-python")
    source = Path(cuda_pycuda.__file__).read_text()
    names = set(re.findall(r'"(cu[A-Z]\w+)"', source))
    assert len(names) == 6
    # cuda.h maps the plain names to the newest version of a call; the library has both.
    plain = {"cuStreamBeginCapture_v2": "cuStreamBeginCapture"}
    plain["cuGraphInstantiateWithFlags"] = "cuGraphInstantiate"
    for name in names:
        assert hasattr(driver, plain.get(name, name)), name
    mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
    assert int(mode) == cuda_pycuda.CAPTURE_THREAD_LOCAL
