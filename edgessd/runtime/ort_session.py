"""onnxruntime sessions on the CPU, made in one way for engines, references and calibration."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from edgessd.core.errors import BackendError
from edgessd.target.packages import install_command

_ERRORS_ONLY = 3  # log severity; warnings only name optimizations that onnxruntime did not find


def load_onnxruntime() -> ModuleType:
    """Import onnxruntime, or raise a BackendError with the command that installs it."""
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendError(
            "onnxruntime, which runs .onnx files, isn't usable here",
            found=str(error),
            fix=f"Install it: {install_command('onnxruntime')}",
        ) from error
    module: ModuleType = onnxruntime
    return module


def make_session(model: Path | bytes, *, threads: int) -> Any:
    """Make an `onnxruntime.InferenceSession` on the CPU.

    Args:
        model: An .onnx file or its bytes.
        threads: Threads within an operator; 0 leaves the number to onnxruntime.

    Raises:
        BackendError: onnxruntime isn't installed.
        Exception: One of the dozen unrelated classes that onnxruntime raises for a model it refuses.
    """
    library = load_onnxruntime()
    options = library.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    # On x86-64 without VNNI the default int8 kernels add pairs of products in 16 bits, which saturates:
    # 13% of a quantized detector's outputs were off by more than one step, against 1% with this entry.
    options.add_session_config_entry("session.x64quantprecision", "1")
    return library.InferenceSession(
        model if isinstance(model, bytes) else str(model),
        options,
        providers=["CPUExecutionProvider"],
    )
