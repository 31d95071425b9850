"""Backend of TensorRT, with runs that overlap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgessd.core.errors import BackendError
from edgessd.core.tensors import TensorSpec
from edgessd.runtime.backend import Tensor, require_tensor
from edgessd.runtime.tensorrt.cuda_memory import shares_pages
from edgessd.runtime.tensorrt.engine import LoadedEngine
from edgessd.runtime.tensorrt.open_cuda import open_cuda
from edgessd.runtime.tensorrt.plan import matching_provider, read_plan, require_gpu
from edgessd.runtime.tensorrt.provider import find_provider
from edgessd.runtime.tensorrt.runs import IN_FLIGHT, Runs


class TensorRtBackend:
    """Runs a plan; see `Backend` and `Overlapping` for the interface.

    Args:
        path: A plan of the engine cache, or the engine of a bundle that was compiled ahead of time.
        threads: CPU threads, for `details` only.

    Raises:
        BackendError: TensorRT or CUDA is missing, the plan is for another version or GPU, or memory is full.
    """

    name = "tensorrt"
    in_flight = IN_FLIGHT

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        plan = read_plan(path)
        provider = matching_provider(plan)
        cuda = open_cuda()
        gpu = cuda.gpu()
        require_gpu(plan, gpu)
        mapped = shares_pages(gpu)
        engine = LoadedEngine(plan, provider)
        self._runs: Runs | None = Runs(engine, cuda, plan.image, plan.outputs, mapped=mapped)
        engine.keep_kernels()
        self.input: TensorSpec = plan.image
        self.outputs: tuple[TensorSpec, ...] = plan.outputs
        self.metadata: dict[str, str] = {}
        self.details: dict[str, Any] = {
            "library": provider.name,
            "version": provider.version_text,
            "threads": threads,
            "delegate": f"{gpu.name}, compute capability {gpu.compute_capability}",
            "dla_core": plan.dla_core,
            "cuda": cuda.library,
            "memory": "mapped" if mapped else "page-locked, copied",
            "cuda_graph": f"none: {self._runs.without_graph}"
            if self._runs.without_graph
            else "captured",
        }
        if engine.kernels_kept:
            self.details["kernels"] = engine.kernels_kept

    def infer(self, tensor: Tensor) -> dict[str, Tensor]:
        """Run the engine once. The outputs are valid until the second call after this one."""
        runs = self._open_runs()
        if runs.pending:
            raise BackendError(
                "Submitted runs must be collected first",
                found=f"{runs.pending} submitted runs",
                fix="Call collect() before infer()",
            )
        self.submit(tensor)
        return runs.collect()

    def submit(self, tensor: Tensor) -> None:
        """Begin a run. The tensor may be overwritten after the call."""
        runs = self._open_runs()
        require_tensor(tensor, self.input)
        runs.submit(tensor)

    def collect(self) -> dict[str, Tensor]:
        """Return the outputs of the oldest submitted run, valid until the second submit after the call."""
        return self._open_runs().collect()

    def gpu_milliseconds(self, runs: int) -> float:
        """Measure the mean of runs enqueued back to back, in milliseconds of the GPU's clock."""
        return self._open_runs().gpu_milliseconds(runs)

    def close(self) -> None:
        """Free the engine after the GPU has ended its runs. A second call does nothing."""
        runs, self._runs = self._runs, None
        if runs is not None:
            runs.close()

    def _open_runs(self) -> Runs:
        if self._runs is None:
            raise BackendError("The engine was closed", fix="Open the model again")
        return self._runs


def open_engine(path: Path, *, threads: int) -> TensorRtBackend:
    """Open an engine for the catalog."""
    return TensorRtBackend(path, threads=threads)


def library_version() -> str:
    """Return name and version, e.g. "TensorRT 10.3.0"; raise BackendError without TensorRT."""
    return find_provider().title
