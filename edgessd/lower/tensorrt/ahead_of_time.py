"""Compile engines without the GPU that will run them, which only TensorRT-RTX can do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from edgessd.core.errors import BackendError
from edgessd.lower.tensorrt.lower import TensorRtGraphs
from edgessd.runtime.tensorrt.compile import compile_engine
from edgessd.runtime.tensorrt.compiled_engine import CompiledEngine
from edgessd.runtime.tensorrt.options import EngineOptions
from edgessd.runtime.tensorrt.provider import Provider, find_provider


def installed_compiler() -> Provider | None:
    """Return TensorRT-RTX if it is installed here, else None."""
    try:
        return find_provider("tensorrt_rtx")
    except BackendError:
        return None


def compile_ahead_of_time(
    graphs: TensorRtGraphs, provider: Provider, compute_capabilities: Sequence[str]
) -> CompiledEngine:
    """Compile one engine for GPUs that this machine doesn't have.

    Args:
        graphs: Graphs from `lower_to_tensorrt`.
        provider: Compiler from `installed_compiler`.
        compute_capabilities: GPU generations, e.g. ("8.6", "12.0").

    Raises:
        LoweringError: NVIDIA's parser refuses the graph; the message quotes it.
        BackendError: The compiler fails.
    """
    options = EngineOptions(
        precision=graphs.precision, compute_capabilities=tuple(compute_capabilities)
    )
    with TemporaryDirectory() as folder:
        weak, strong = Path(folder) / "weak.onnx", Path(folder) / "strong.onnx"
        weak.write_bytes(graphs.weak)
        strong.write_bytes(graphs.strong)
        return compile_engine(
            weak,
            strong,
            options,
            provider,
            tensors=(*graphs.engine_inputs, *graphs.engine_outputs),
        )
