"""Device memory, streams and graphs over pycuda or cuda-python, as little of them as an engine needs."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgessd.core.tensors import TensorSpec
from edgessd.runtime.tensorrt.gpu import GpuIdentity

Handle = Any
"""A stream, an event or an executable graph, opaque to everything above the library."""


class Cuda(Protocol):
    """What both libraries do for an engine. Every failure is a BackendError with CUDA's own words.

    Attributes:
        library: Name and version, for a benchmark's details.
    """

    library: str

    def gpu(self) -> GpuIdentity:
        """The first device that CUDA_VISIBLE_DEVICES leaves."""
        ...

    def allocate(self, size: int) -> tuple[int, Handle]:
        """(address, owner) of device memory that lives as long as its owner."""
        ...

    def allocate_host(self, size: int, *, mapped: bool) -> tuple[NDArray[np.uint8], int]:
        """Page-locked memory, and its device address if it is mapped (else 0).

        The memory lives as long as the array or any view of it.
        """
        ...

    def copy_in(self, address: int, host: NDArray[np.uint8], stream: Handle) -> None:
        """Begin a copy of page-locked memory to the device."""
        ...

    def copy_out(self, host: NDArray[np.uint8], address: int, stream: Handle) -> None:
        """Begin a copy from the device to page-locked memory."""
        ...

    def make_stream(self) -> Handle: ...

    def stream_address(self, stream: Handle) -> int:
        """The number by which TensorRT knows a stream."""
        ...

    def wait_stream(self, stream: Handle) -> None: ...

    def make_event(self, *, timed: bool = False) -> Handle: ...

    def record(self, event: Handle, stream: Handle) -> None: ...

    def wait(self, event: Handle) -> None: ...

    def milliseconds(self, start: Handle, end: Handle) -> float:
        """Between two timed events that both have passed."""
        ...

    def begin_capture(self, stream: Handle) -> None:
        """Record what this thread enqueues on the stream, instead of running it."""
        ...

    def end_capture(self, stream: Handle) -> Handle:
        """What was recorded, ready to launch."""
        ...

    def launch(self, graph: Handle, stream: Handle) -> None: ...

    def destroy(self, *handles: Handle) -> None:
        """Free streams, events and graphs; None among them is passed over."""
        ...


class TensorBuffer:
    """A tensor's memory on both sides.

    Where CPU and GPU share their RAM, the host's pages are mapped into the device and nothing is ever
    copied. Elsewhere there is device memory of its own and a page-locked staging copy.

    Args:
        cuda: The library.
        spec: Of the tensor.
        mapped: Whether to share pages.

    Attributes:
        host: `spec.shape` of `spec.dtype`; what the CPU reads and writes.
        address: What the engine reads and writes.
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
        """Begin bringing the host's values to the device."""
        if not self._mapped:
            self._cuda.copy_in(self.address, self._bytes, stream)

    def download(self, stream: Handle) -> None:
        """Begin bringing the device's values to the host."""
        if not self._mapped:
            self._cuda.copy_out(self._bytes, self.address, stream)


def shares_pages(gpu: GpuIdentity) -> bool:
    """Whether mapped memory is the faster way.

    Integrated GPUs share the CPU's RAM. Before compute capability 7.2 (Nano, TX2) the CPU doesn't cache
    pages that are mapped into the GPU, so reading outputs there is slower than copying them ("CUDA for
    Tegra", memory selection: https://docs.nvidia.com/cuda/cuda-for-tegra-appnote/).
    """
    return gpu.unified and gpu.capability >= (7, 2)
