"""Choose a CUDA library, pycuda or cuda-python, and find the GPU through it."""

from __future__ import annotations

from collections.abc import Callable

from edgessd.core.errors import BackendError
from edgessd.runtime.tensorrt import cuda_pycuda, cuda_python
from edgessd.runtime.tensorrt.cuda_memory import Cuda
from edgessd.runtime.tensorrt.gpu import GpuIdentity

# Each opener returns (library, "") or (None, the reason why it can't be imported).
_OPENERS: dict[str, Callable[[], tuple[Cuda | None, str]]] = {
    "pycuda": cuda_pycuda.open_library,
    "cuda-python": cuda_python.open_library,
}


def open_cuda(library: str | None = None) -> Cuda:
    """Open pycuda if it is installed, else cuda-python.

    Args:
        library: `pycuda` or `cuda-python`; None takes the first that is installed.

    Raises:
        BackendError: Neither is installed, there is no driver, or no GPU.
    """
    if library is not None and library not in _OPENERS:
        raise BackendError(
            f"There is no CUDA library {library!r}", expected=" or ".join(_OPENERS), found=library
        )
    problems = []
    for name in (library,) if library else _OPENERS:
        opened, problem = _OPENERS[name]()
        if opened is not None:
            return opened
        problems.append(f"{name}: {problem}")
    raise BackendError(
        "No library for CUDA memory is usable here",
        expected=" or ".join(_OPENERS),
        found="; ".join(problems),
        fix="Install one whose first number is this machine's CUDA version (JetPack 6: 12, JetPack 7: "
        '13), e.g. python -m pip install "cuda-python==12.*"',
    )


def identify_gpu() -> GpuIdentity:
    """Describe the first GPU of this machine.

    Raises:
        BackendError: No CUDA library, no driver, or no GPU.
    """
    return open_cuda().gpu()
