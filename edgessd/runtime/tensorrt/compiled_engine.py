"""A compiled engine before it is written, and what every way to compile says about a result."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgessd.core.errors import BackendError
from edgessd.runtime.tensorrt.layer_report import LayerReport
from edgessd.runtime.tensorrt.options import EngineOptions
from edgessd.runtime.tensorrt.provider import Provider

# numpy's names of what `DataType` calls otherwise.
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
    """An engine before it is written.

    Attributes:
        content: The serialized engine ("plan").
        typed: Which of the two graphs it was made of.
        report: Layers by precision; None where the engine is for a GPU that isn't here.
        seconds: The whole compilation took.
        notes: What a person should know, in sentences.
    """

    content: bytes
    typed: Literal["weakly", "strongly"]
    report: LayerReport | None
    seconds: float
    notes: tuple[str, ...] = ()


def build_failure(
    provider: Provider, found: str, log: Path | None, options: EngineOptions
) -> BackendError:
    """The refusal for a failed build, with the way out that fits what TensorRT said."""
    if _OUT_OF_MEMORY.search(found):
        fix = (
            f"The build may use {options.workspace_mb} MiB of scratch memory. Close what else runs "
            "(on a Jetson the desktop, too), add swap, or lower workspace_mb of the target"
        )
    elif NO_GPU.search(found):
        fix = "Compile on the device itself; `edgessd doctor` tells what it lacks"
    else:
        fix = f"The whole log is in {log}" if log else "Run it again with a log file"
    return BackendError(f"{provider.title} couldn't compile the engine", found=found, fix=fix)


def dla_notes(report: LayerReport | None, options: EngineOptions) -> tuple[str, ...]:
    """A sentence where the DLA that was asked for does nothing."""
    if options.dla_core is None or (report is not None and report.counts.get("DLA")):
        return ()
    if options.precision == "int8":
        # https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/work-with-dla.html
        return (
            "The DLA takes no layers that Q/DQ quantizes: the GPU runs them. An FP16 bundle uses the "
            "DLA: edgessd build --precision fp16",
        )
    return () if report is None else ("No layer fits the DLA: the GPU runs them all",)
