"""CUDA through cuda-python's runtime API: `cuda.bindings.runtime`, or `cuda.cudart` before 12.6.1.

The runtime API works in the device's primary context, the one that TensorRT uses, from any thread.
"""

from __future__ import annotations

import ctypes
import weakref
from importlib import import_module, metadata
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgessd.runtime.tensorrt.cuda_errors import NO_DRIVER, cuda_error, driver_too_old, no_cuda
from edgessd.runtime.tensorrt.gpu import GpuIdentity

_MODULES = ("cuda.bindings.runtime", "cuda.cudart")


class CudaPython:
    """`cuda_memory.Cuda` with cuda-python.

    Raises:
        BackendError: There is no driver or no GPU, or the driver is too old for the library.
    """

    def __init__(self, runtime: ModuleType) -> None:
        self._cuda = runtime
        self.library = f"cuda-python {_installed_version()}"
        self._check(self._cuda.cudaGetDeviceCount(), "find a GPU")

    def gpu(self) -> GpuIdentity:
        cuda = self._cuda
        (device,) = self._check(cuda.cudaGetDevice(), "find the GPU")
        (properties,) = self._check(cuda.cudaGetDeviceProperties(device), "describe the GPU")
        name = properties.name
        return GpuIdentity(
            name=(name.decode() if isinstance(name, bytes) else str(name)).rstrip("\0"),
            capability=(int(properties.major), int(properties.minor)),
            total_memory=int(properties.totalGlobalMem),
            unified=bool(properties.integrated),
        )

    def allocate(self, size: int) -> tuple[int, Any]:
        (pointer,) = self._check(self._cuda.cudaMalloc(size), "allocate device memory", size=size)
        return int(pointer), _Owner(self._cuda.cudaFree, pointer)

    def allocate_host(self, size: int, *, mapped: bool) -> tuple[NDArray[np.uint8], int]:
        cuda = self._cuda
        flags = cuda.cudaHostAllocMapped if mapped else cuda.cudaHostAllocDefault
        (pointer,) = self._check(
            cuda.cudaHostAlloc(size, flags), "allocate page-locked memory", size=size
        )
        block: Any = (ctypes.c_uint8 * size).from_address(int(pointer))
        # The array and all its views keep the block alive, and the block keeps the memory.
        block._owner = _Owner(cuda.cudaFreeHost, pointer)
        address = 0
        if mapped:
            (address,) = self._check(
                cuda.cudaHostGetDevicePointer(pointer, 0), "map memory into the GPU"
            )
        return np.frombuffer(block, np.uint8), int(address)

    def copy_in(self, address: int, host: NDArray[np.uint8], stream: Any) -> None:
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        result = self._cuda.cudaMemcpyAsync(address, host.ctypes.data, host.nbytes, kind, stream)
        self._check(result, "copy to the GPU")

    def copy_out(self, host: NDArray[np.uint8], address: int, stream: Any) -> None:
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        result = self._cuda.cudaMemcpyAsync(host.ctypes.data, address, host.nbytes, kind, stream)
        self._check(result, "copy from the GPU")

    def make_stream(self) -> Any:
        flags = self._cuda.cudaStreamNonBlocking
        (stream,) = self._check(self._cuda.cudaStreamCreateWithFlags(flags), "make a stream")
        return stream

    def stream_address(self, stream: Any) -> int:
        return int(stream)

    def wait_stream(self, stream: Any) -> None:
        self._check(self._cuda.cudaStreamSynchronize(stream), "run the engine")

    def make_event(self, *, timed: bool = False) -> Any:
        flags = 0 if timed else self._cuda.cudaEventDisableTiming
        (event,) = self._check(self._cuda.cudaEventCreateWithFlags(flags), "make an event")
        return event

    def record(self, event: Any, stream: Any) -> None:
        self._check(self._cuda.cudaEventRecord(event, stream), "record an event")

    def wait(self, event: Any) -> None:
        self._check(self._cuda.cudaEventSynchronize(event), "run the engine")

    def milliseconds(self, start: Any, end: Any) -> float:
        (span,) = self._check(self._cuda.cudaEventElapsedTime(start, end), "time the engine")
        return float(span)

    def begin_capture(self, stream: Any) -> None:
        mode = self._cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._check(self._cuda.cudaStreamBeginCapture(stream, mode), "begin a graph")

    def end_capture(self, stream: Any) -> Any:
        cuda = self._cuda
        (graph,) = self._check(cuda.cudaStreamEndCapture(stream), "end a graph")
        try:
            # This one of two functions has had the same arguments since CUDA 11.4.
            (ready,) = self._check(cuda.cudaGraphInstantiateWithFlags(graph, 0), "make a graph")
        finally:
            self._check(cuda.cudaGraphDestroy(graph), "free a graph")
        return ready

    def launch(self, graph: Any, stream: Any) -> None:
        self._check(self._cuda.cudaGraphLaunch(graph, stream), "launch the engine's graph")

    def destroy(self, *handles: Any) -> None:
        cuda = self._cuda
        frees = {
            "cudaStream_t": cuda.cudaStreamDestroy,
            "cudaEvent_t": cuda.cudaEventDestroy,
            "cudaGraphExec_t": cuda.cudaGraphExecDestroy,
        }
        for handle in handles:
            if handle is not None:
                self._check(frees[type(handle).__name__](handle), "free the engine's resources")

    def _check(self, result: tuple[Any, ...], doing: str, *, size: int = 0) -> tuple[Any, ...]:
        """Return the values of a call after its first, the error code; raise BackendError for an error."""
        code, values = int(result[0]), result[1:]
        if code == 0:
            return values
        # Clear the error, or TensorRT reads it after a call of its own and takes it for its own.
        self._cuda.cudaGetLastError()
        if code == NO_DRIVER:
            _, needs = self._cuda.cudaRuntimeGetVersion()
            _, driver = self._cuda.cudaDriverGetVersion()
            raise driver_too_old(self.library, int(needs), int(driver))
        _, name = self._cuda.cudaGetErrorName(result[0])
        _, words = self._cuda.cudaGetErrorString(result[0])
        free = None
        if size:
            error, left, _ = self._cuda.cudaMemGetInfo()
            free = int(left) if int(error) == 0 else None
        raise cuda_error(code, name.decode(), words.decode(), doing, size=size, free=free)


class _Owner:
    """Frees memory when nothing refers to it.

    The result of the free is ignored: it runs in the garbage collector, where an exception has no receiver.
    Memory that is left at exit is freed with the process.
    """

    def __init__(self, free: Any, pointer: Any) -> None:
        weakref.finalize(self, free, pointer).atexit = False


def open_library() -> tuple[CudaPython | None, str]:
    """Open cuda-python: (library, "") or (None, reason why it can't be imported).

    Raises:
        BackendError: CUDA doesn't run on this machine.
    """
    problem = ""
    for name in _MODULES:
        try:
            module = import_module(name)
        except ImportError as error:
            problem = problem or str(error)
            continue
        try:
            return CudaPython(module), ""
        except RuntimeError as error:  # its loader raises this if the driver's library is missing
            raise no_cuda(str(error)) from error
    return None, problem


def _installed_version() -> str:
    try:
        return metadata.version("cuda-bindings")
    except metadata.PackageNotFoundError:  # the package exists since 12.6.1
        return metadata.version("cuda-python")
