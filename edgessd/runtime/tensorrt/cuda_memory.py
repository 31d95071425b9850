"""Interface to CUDA memory, streams and graphs, and the buffers of an engine's tensors."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgessd.core.tensors import TensorSpec
from edgessd.runtime.tensorrt.gpu import GpuIdentity

Handle = Any
"""A stream, an event or an executable graph; only the library knows its type."""


class Cuda(Protocol):
    """Functions of pycuda or cuda-python that an engine needs.

    Every failure raises a BackendError with CUDA's message.

    Attributes:
        library: Name and version, for the record of a measurement.
    """

    library: str

    def gpu(self) -> GpuIdentity:
        """Describe the first device that CUDA_VISIBLE_DEVICES allows."""
        ...

    def allocate(self, size: int) -> tuple[int, Handle]:
        """Allocate device memory: (address, owner). It is freed with its owner."""
        ...

    def allocate_host(self, size: int, *, mapped: bool) -> tuple[NDArray[np.uint8], int]:
        """Allocate page-locked memory; return it and its device address, 0 if it isn't mapped.

        The memory is freed with the array and all of its views.
        """
        ...

    def copy_in(self, address: int, host: NDArray[np.uint8], stream: Handle) -> None:
        """Begin to copy page-locked memory to the device."""
        ...

    def copy_out(self, host: NDArray[np.uint8], address: int, stream: Handle) -> None:
        """Begin to copy from the device to page-locked memory."""
        ...

    def make_stream(self) -> Handle:
        """Make a stream."""
        ...

    def stream_address(self, stream: Handle) -> int:
        """Return the number by which TensorRT knows a stream."""
        ...

    def wait_stream(self, stream: Handle) -> None:
        """Wait for all work on a stream."""
        ...

    def make_event(self, *, timed: bool = False) -> Handle:
        """Make an event; a timed one records the GPU's clock."""
        ...

    def record(self, event: Handle, stream: Handle) -> None:
        """Record an event on a stream."""
        ...

    def wait(self, event: Handle) -> None:
        """Wait for an event."""
        ...

    def milliseconds(self, start: Handle, end: Handle) -> float:
        """Return the milliseconds between two timed events that have passed."""
        ...

    def begin_capture(self, stream: Handle) -> None:
        """Capture what this thread enqueues on the stream instead of running it."""
        ...

    def end_capture(self, stream: Handle) -> Handle:
        """End the capture and return an executable graph."""
        ...

    def launch(self, graph: Handle, stream: Handle) -> None:
        """Launch an executable graph on a stream."""
        ...

    def destroy(self, *handles: Handle) -> None:
        """Free streams, events and graphs; skip None among them."""
        ...


class TensorBuffer:
    """Memory of a tensor on host and device.

    If CPU and GPU share their RAM, the host's pages are mapped into the device and nothing is copied.
    Otherwise the tensor has device memory and a page-locked copy on the host.

    Args:
        cuda: CUDA library.
        spec: Description of the tensor.
        mapped: Map the host's pages instead of copying.

    Attributes:
        host: Array of `spec.shape` and `spec.dtype` that the CPU reads and writes.
        address: Device address that the engine reads and writes.
    """

    def __init__(self, cuda: Cuda, spec: TensorSpec, *, mapped: bool) -> None:
        size = int(np.prod(spec.shape)) * spec.numpy_dtype.itemsize
        self._cuda = cuda
        self._bytes, self.address = cuda.allocate_host(size, mapped=mapped)
        self._mapped = mapped
        self._owner: Handle = None
        if not mapped:
            self.address, self._owner = cuda.allocate(size)
        self.host: NDArray[np.generic] = self._bytes.view(spec.numpy_dtype).reshape(spec.shape)

    def upload(self, stream: Handle) -> None:
        """Begin to copy the host's values to the device."""
        if not self._mapped:
            self._cuda.copy_in(self.address, self._bytes, stream)

    def download(self, stream: Handle) -> None:
        """Begin to copy the device's values to the host."""
        if not self._mapped:
            self._cuda.copy_out(self._bytes, self.address, stream)


def shares_pages(gpu: GpuIdentity) -> bool:
    """Tell if mapped memory is faster than copies on this GPU.

    Integrated GPUs share the CPU's RAM. Before compute capability 7.2 (Nano, TX2) the CPU doesn't cache
    pages that are mapped into the GPU, so reading outputs there is slower than copying them ("CUDA for
    Tegra", memory selection: https://docs.nvidia.com/cuda/cuda-for-tegra-appnote/).
    """
    return gpu.unified and gpu.capability >= (7, 2)
