"""Which packages are installed, and the command that installs what is missing."""

from __future__ import annotations

import platform
import sys
from importlib import metadata

# What a package is for, by the names that errors and `doctor` use.
_PACKAGES = {
    "litert": "ai-edge-litert",
    "onnxruntime": "onnxruntime",
    "opencv": "opencv-python-headless",
    "torch": "torch",
    "onnx": "onnx",
}


def install_command(
    what: str, *, machine: str | None = None, python: tuple[int, int] | None = None
) -> str:
    """The shell command that installs `what` here.

    Args:
        what: A key of this module's table, or a distribution's name.
        machine: As `platform.machine()` says it; None asks.
        python: (major, minor); None asks.
    """
    machine = machine or platform.machine()
    python = python or sys.version_info[:2]
    distribution = _PACKAGES.get(what, what)
    if what == "litert" and machine in ("armv7l", "armv6l"):
        # ai-edge-litert has 64-bit wheels only; tflite-runtime stopped at 2.14, Python 3.11, NumPy 1.
        if python > (3, 11):
            return (
                "there is no wheel for 32-bit ARM and this Python; install the 64-bit system, then "
                "python -m pip install ai-edge-litert"
            )
        return 'python -m pip install tflite-runtime "numpy<2"'
    return f"python -m pip install {distribution}"


def installed_version(distribution: str) -> str:
    """Version of a distribution in this environment, "" where it isn't installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""
