"""A compiled engine before it is written, with the notes and errors that all compilers share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgessd.core.errors import BackendError
from edgessd.runtime.tensorrt.layer_report import LayerReport
from edgessd.runtime.tensorrt.options import EngineOptions
from edgessd.runtime.tensorrt.provider import Provider

# numpy's name → name in TensorRT's `DataType`.
DATA_TYPES = {
    "float32": "FLOAT",
    "float16": "HALF",
    "int8": "INT8",
    "uint8": "UINT8",
    "int32": "INT32",
    "int64": "INT64",
}
_OUT_OF_MEMORY = re.compile(r"out ?of ?memory|cudaError 2\b|Cuda Runtime \(2\)", re.IGNORECASE)
NO_GPU = re.compile(
    r"driver version is insufficient|no CUDA-capable device|CUDA initialization failure|"
    r"cudaError (35|100)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class CompiledEngine:
    """Engine before it is written.

    Attributes:
        content: The serialized engine ("plan").
        typed: Form of the graph that it was compiled from.
        report: Layers by precision; None if the engine is for another machine's GPU.
        seconds: Duration of the whole compilation.
        notes: Sentences for a person.
    """

    content: bytes
    typed: Literal["weakly", "strongly"]
    report: LayerReport | None
    seconds: float
    notes: tuple[str, ...] = ()


def build_failure(
    provider: Provider, found: str, log: Path | None, options: EngineOptions
) -> BackendError:
    """Make the error for a failed build, with a way out that fits TensorRT's message."""
    if _OUT_OF_MEMORY.search(found):
        fix = (
            f"The build may use {options.workspace_mb} MiB of scratch memory. Close what else runs "
            "(on a Jetson also the desktop), add swap, or lower workspace_mb of the target"
        )
    elif NO_GPU.search(found):
        fix = "Compile on the device itself; `edgessd doctor` lists what it lacks"
    else:
        fix = f"Read the log {log}" if log else "Run it again with a log file"
    return BackendError(f"{provider.title} couldn't compile the engine", found=found, fix=fix)


def dla_notes(report: LayerReport | None, options: EngineOptions) -> tuple[str, ...]:
    """Explain why the requested DLA runs no layer, if so."""
    if options.dla_core is None or (report is not None and report.counts.get("DLA")):
        return ()
    if options.precision == "int8":
        # https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/work-with-dla.html
        return (
            "The DLA runs no layers that Q/DQ quantizes: the GPU runs them. An FP16 bundle uses the "
            "DLA: edgessd build --precision fp16",
        )
    return () if report is None else ("No layer fits the DLA: the GPU runs them all",)
