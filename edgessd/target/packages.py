"""Versions of installed packages, and commands that install missing ones."""

from __future__ import annotations

import platform
import sys
from importlib import metadata

# Name in errors and in `doctor` → distribution.
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
    """Return the shell command that installs a package on this machine.

    Args:
        what: A key of this module's table, or the name of a distribution.
        machine: Architecture as in `platform.machine()`; None takes this machine's.
        python: (major, minor) of Python; None takes this Python's.
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
    """Return the version of a distribution in this environment; "" if it isn't installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""
