"""CUDA through pycuda, which is common on a Jetson.

Its calls need a current context. TensorRT works in the device's primary context, so this module does, too.
The context is current only during each call, since the process crashes if a thread ends while a context is
current.

pycuda has no CUDA graphs. The six driver calls for them are made through ctypes, on the streams' handles.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgessd.runtime.tensorrt.cuda_errors import OUT_OF_MEMORY, cuda_error, no_cuda
from edgessd.runtime.tensorrt.gpu import GpuIdentity

CAPTURE_THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL


class PyCuda:
    """`cuda_memory.Cuda` with pycuda.

    Raises:
        BackendError: There is no driver or no GPU.
    """

    def __init__(self, driver: ModuleType) -> None:
        self._cuda = driver
        self.library = f"pycuda {'.'.join(map(str, import_module('pycuda').VERSION))}"
        self._graphs: _DriverGraphs | None = None
        try:
            driver.init()
            self._device = driver.Device(0)
            self._context = self._device.retain_primary_context()
        except driver.Error as error:
            raise cuda_error(100, type(error).__name__, str(error), "find a GPU") from error

    def gpu(self) -> GpuIdentity:
        device, attributes = self._device, self._cuda.device_attribute
        major, minor = device.compute_capability()
        return GpuIdentity(
            name=str(device.name()),
            capability=(int(major), int(minor)),
            total_memory=int(device.total_memory()),
            unified=bool(device.get_attribute(attributes.INTEGRATED)),
        )

    def allocate(self, size: int) -> tuple[int, Any]:
        with self._current("allocate device memory", size=size):
            owner = self._cuda.mem_alloc(size)
        return int(owner), owner

    def allocate_host(self, size: int, *, mapped: bool) -> tuple[NDArray[np.uint8], int]:
        flags = self._cuda.host_alloc_flags.DEVICEMAP if mapped else 0
        with self._current("allocate page-locked memory", size=size):
            host = self._cuda.pagelocked_empty(size, np.uint8, mem_flags=flags)
            address = int(host.base.get_device_pointer()) if mapped else 0
        return host, address

    def copy_in(self, address: int, host: NDArray[np.uint8], stream: Any) -> None:
        with self._current("copy to the GPU"):
            self._cuda.memcpy_htod_async(address, host, stream)

    def copy_out(self, host: NDArray[np.uint8], address: int, stream: Any) -> None:
        with self._current("copy from the GPU"):
            self._cuda.memcpy_dtoh_async(host, address, stream)

    def make_stream(self) -> Any:
        with self._current("make a stream"):
            return self._cuda.Stream()

    def stream_address(self, stream: Any) -> int:
        return int(stream.handle)

    def wait_stream(self, stream: Any) -> None:
        with self._current("run the engine"):
            stream.synchronize()

    def make_event(self, *, timed: bool = False) -> Any:
        kinds = self._cuda.event_flags
        with self._current("make an event"):
            return self._cuda.Event(kinds.DEFAULT if timed else kinds.DISABLE_TIMING)

    def record(self, event: Any, stream: Any) -> None:
        with self._current("record an event"):
            event.record(stream)

    def wait(self, event: Any) -> None:
        with self._current("run the engine"):
            event.synchronize()

    def milliseconds(self, start: Any, end: Any) -> float:
        with self._current("time the engine"):
            return float(end.time_since(start))

    def begin_capture(self, stream: Any) -> None:
        if self._graphs is None:
            self._graphs = _DriverGraphs()
        with self._current("begin a graph"):
            self._graphs.begin(stream.handle)

    def end_capture(self, stream: Any) -> Any:
        assert self._graphs is not None  # a capture was begun
        with self._current("end a graph"):
            return self._graphs.end(stream.handle)

    def launch(self, graph: Any, stream: Any) -> None:
        with self._current("launch the engine's graph"):
            graph.launch(stream.handle)

    def destroy(self, *handles: Any) -> None:
        """Free graphs; pycuda frees its own objects when nothing refers to them."""
        with self._current("free the engine's resources"):
            for handle in handles:
                if isinstance(handle, _DriverGraph):
                    handle.destroy()

    @contextmanager
    def _current(self, doing: str, *, size: int = 0) -> Iterator[None]:
        """Make the primary context current during the block; turn pycuda's errors into BackendErrors."""
        cuda = self._cuda
        self._context.push()
        try:
            yield
        except cuda.MemoryError as error:
            free, _ = cuda.mem_get_info()
            raise cuda_error(
                OUT_OF_MEMORY, "MemoryError", str(error), doing, size=size, free=int(free)
            ) from error
        except cuda.Error as error:
            raise cuda_error(999, type(error).__name__, str(error), doing) from error
        finally:
            self._context.pop()


class _DriverGraphs:
    """Driver calls for graphs (CUDA driver API, "Stream Management" and "Graph Management")."""

    def __init__(self) -> None:
        self.library = ctypes.CDLL("libcuda.so.1")
        signatures: dict[str, list[Any]] = {
            "cuStreamBeginCapture_v2": [ctypes.c_void_p, ctypes.c_int],
            "cuStreamEndCapture": [ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p)],
            "cuGraphInstantiateWithFlags": [
                ctypes.POINTER(ctypes.c_void_p),
                ctypes.c_void_p,
                ctypes.c_ulonglong,
            ],
            "cuGraphLaunch": [ctypes.c_void_p, ctypes.c_void_p],
            "cuGraphExecDestroy": [ctypes.c_void_p],
            "cuGraphDestroy": [ctypes.c_void_p],
        }
        for name, arguments in signatures.items():
            getattr(self.library, name).argtypes = arguments

    def begin(self, stream: int) -> None:
        self.call("cuStreamBeginCapture_v2", "begin a graph", stream, CAPTURE_THREAD_LOCAL)

    def end(self, stream: int) -> _DriverGraph:
        graph, ready = ctypes.c_void_p(), ctypes.c_void_p()
        self.call("cuStreamEndCapture", "end a graph", stream, ctypes.byref(graph))
        try:
            self.call("cuGraphInstantiateWithFlags", "make a graph", ctypes.byref(ready), graph, 0)
        finally:
            self.call("cuGraphDestroy", "free a graph", graph)
        return _DriverGraph(self, ready)

    def call(self, name: str, doing: str, *arguments: Any) -> None:
        code = int(getattr(self.library, name)(*arguments))
        if code:
            raise cuda_error(code, name, "the driver refuses", doing)


class _DriverGraph:
    """Executable graph of the driver."""

    def __init__(self, driver: _DriverGraphs, handle: ctypes.c_void_p) -> None:
        self._driver = driver
        self._handle = handle

    def launch(self, stream: int) -> None:
        self._driver.call("cuGraphLaunch", "launch the engine's graph", self._handle, stream)

    def destroy(self) -> None:
        self._driver.call("cuGraphExecDestroy", "free a graph", self._handle)


def open_library() -> tuple[PyCuda | None, str]:
    """Open pycuda: (library, "") or (None, reason why it can't be imported).

    Raises:
        BackendError: CUDA doesn't run on this machine.
    """
    try:
        driver = import_module("pycuda.driver")
    except ImportError as error:
        if "libcuda" in str(error):
            raise no_cuda(str(error)) from error
        return None, str(error)
    return PyCuda(driver), ""
