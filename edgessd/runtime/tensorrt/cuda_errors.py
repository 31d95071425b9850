"""CUDA's error codes as refusals with a way out. The numbers are the same in driver and runtime."""

from __future__ import annotations

from edgessd.core.errors import BackendError

OUT_OF_MEMORY = 2
NO_DRIVER = 35
# Not initialised, no device, no permission, device in another program's hands, driver and library differ.
_NOT_USABLE = (3, 34, NO_DRIVER, 46, 100, 101, 102, 802, 803, 804)


def cuda_error(
    code: int, name: str, words: str, doing: str, *, size: int = 0, free: int | None = None
) -> BackendError:
    """The refusal for a failed CUDA call.

    Args:
        code, name, words: As CUDA gives them.
        doing: What edgessd was about, e.g. "allocate device memory".
        size: Bytes asked for, where memory was asked for.
        free: Bytes that are free, None if CUDA doesn't tell.
    """
    found = f"{name} ({code}): {words}"
    if code == OUT_OF_MEMORY:
        asked = f"{size / 2**20:.1f} MiB asked for, " if size else ""
        left = f"{free / 2**20:.0f} MiB free" if free is not None else "free memory unknown"
        return BackendError(
            "The GPU's memory is used up",
            found=f"{asked}{left}; {found}",
            fix="Close what else uses the GPU (on a Jetson, whose CPU and GPU share it, also the "
            "desktop and browsers), add swap, or compile with a lower workspace_mb",
        )
    if code in _NOT_USABLE:
        return BackendError(
            "CUDA doesn't run on this machine",
            expected="an NVIDIA GPU with its driver",
            found=found,
            fix="`edgessd doctor` tells what is missing; in a container pass --runtime nvidia or "
            "--gpus all",
        )
    return BackendError(
        f"CUDA failed to {doing}",
        found=found,
        fix="Open the model again; if it stays, `edgessd doctor` and the kernel's log (dmesg) tell more",
    )


def driver_too_old(library: str, needs: int, driver: int) -> BackendError:
    """The refusal where the library's CUDA is newer than the driver's.

    Args:
        library: E.g. "cuda-python 13.0.1".
        needs, driver: CUDA versions as 1000 * major + 10 * minor; driver 0 where there is none.
    """
    if not driver:
        return BackendError(
            "CUDA doesn't run on this machine",
            expected="an NVIDIA GPU with its driver",
            found="no NVIDIA driver",
            fix="`edgessd doctor` tells what is missing; in a container pass --runtime nvidia or "
            "--gpus all",
        )
    major = driver // 1000
    return BackendError(
        f"{library} is for a newer CUDA than this machine's driver",
        expected=f"CUDA {major}.{driver % 1000 // 10} or older",
        found=f"CUDA {needs // 1000}.{needs % 1000 // 10}",
        fix=f'python -m pip install "cuda-python=={major}.*"',
    )
