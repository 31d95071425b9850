"""Errors of CUDA with their way out."""

from __future__ import annotations

from edgessd.runtime.tensorrt.cuda_errors import cuda_error, driver_too_old

MIB = 1 << 20


def test_out_of_memory_states_requested_and_free_memory() -> None:
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


def test_any_other_failure_keeps_cudas_message() -> None:
    text = str(cuda_error(700, "cudaErrorIllegalAddress", "an illegal access", "run the engine"))
    assert text.startswith("CUDA failed to run the engine. Found cudaErrorIllegalAddress (700)")


def test_a_library_newer_than_the_driver_names_the_one_that_fits() -> None:
    text = str(driver_too_old("cuda-python 13.0.1", 13000, 12060))
    assert "Expected CUDA 12.6 or older" in text
    assert "Found CUDA 13.0" in text
    assert '"cuda-python==12.*"' in text
