"""Turn CUDA's error codes into errors with a way out; driver and runtime use the same numbers."""

from __future__ import annotations

from edgessd.core.errors import BackendError

OUT_OF_MEMORY = 2
NO_DRIVER = 35
# Not initialized, no device, no permission, device used by another program, driver and library differ.
_NOT_USABLE = (3, 34, NO_DRIVER, 46, 100, 101, 102, 802, 803, 804)


def cuda_error(
    code: int, name: str, words: str, doing: str, *, size: int = 0, free: int | None = None
) -> BackendError:
    """Make the error for a failed CUDA call.

    Args:
        code, name, words: Number, name and description of the error from CUDA.
        doing: Task that failed, e.g. "allocate device memory".
        size: Bytes requested; 0 if no memory was requested.
        free: Bytes of free memory; None if CUDA doesn't report them.
    """
    found = f"{name} ({code}): {words}"
    if code == OUT_OF_MEMORY:
        requested = f"{size / 2**20:.1f} MiB requested, " if size else ""
        left = f"{free / 2**20:.0f} MiB free" if free is not None else "free memory unknown"
        return BackendError(
            "The GPU's memory is used up",
            found=f"{requested}{left}; {found}",
            fix="Close what else uses the GPU (on a Jetson, whose CPU and GPU share it, also the "
            "desktop and browsers), add swap, or compile with a lower workspace_mb",
        )
    if code in _NOT_USABLE:
        return no_cuda(found)
    return BackendError(
        f"CUDA failed to {doing}",
        found=found,
        fix="Open the model again; if the error remains, read `edgessd doctor` and the kernel's log (dmesg)",
    )


def no_cuda(found: str) -> BackendError:
    """Make the error for a machine on which CUDA doesn't run."""
    return BackendError(
        "CUDA doesn't run on this machine",
        expected="an NVIDIA GPU with its driver",
        found=found,
        fix="`edgessd doctor` lists what is missing; in a container pass --runtime nvidia or --gpus all",
    )


def driver_too_old(library: str, needs: int, driver: int) -> BackendError:
    """Make the error for a library whose CUDA is newer than the driver's.

    Args:
        library: Name and version, e.g. "cuda-python 13.0.1".
        needs, driver: CUDA versions as 1000 * major + 10 * minor; driver 0 if there is none.
    """
    if not driver:
        return no_cuda("no NVIDIA driver")
    major = driver // 1000
    return BackendError(
        f"{library} is for a newer CUDA than this machine's driver",
        expected=f"CUDA {major}.{driver % 1000 // 10} or older",
        found=f"CUDA {needs // 1000}.{needs % 1000 // 10}",
        fix=f'python -m pip install "cuda-python=={major}.*"',
    )
