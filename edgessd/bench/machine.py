"""Describe the machine of a measurement."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineFacts:
    """Facts of a machine that latency depends on.

    Attributes:
        device: Name of the board, else of the processor.
        processor: Name of the processor from the kernel.
        cores: Number of cores that this process may use.
        architecture: Architecture, e.g. `x86_64` or `aarch64`.
        features: Vector extensions that int8 kernels use.
        memory_gib: Installed memory in GiB.
        system: Kernel and its release.
        python: Version of Python.
        governor: CPU frequency policy; None if the kernel has none.
    """

    device: str
    processor: str
    cores: int
    architecture: str
    features: tuple[str, ...]
    memory_gib: float
    system: str
    python: str
    governor: str | None


# Ordered by the speed of int8 kernels that use them.
_INT8_FEATURES = (
    "avx2",
    "avx512bw",
    "avx_vnni",
    "avx512_vnni",
    "amx_int8",
    "asimd",
    "asimddp",
    "i8mm",
)


def this_machine(root: Path = Path("/")) -> MachineFacts:
    """Describe this machine from /proc and /sys under `root`."""
    import psutil

    fields = _cpuinfo(root / "proc/cpuinfo")
    processor = fields.get("model name") or fields.get("Hardware") or platform.machine()
    flags = (fields.get("flags") or fields.get("Features") or "").split()
    model = _text(root / "proc/device-tree/model")
    return MachineFacts(
        device=model or processor,
        processor=processor,
        cores=len(os.sched_getaffinity(0)),
        architecture=platform.machine(),
        features=tuple(name for name in _INT8_FEATURES if name in flags),
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        governor=_text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
    )


def _cpuinfo(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    pairs = (line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _text(path: Path) -> str | None:
    # The device tree ends its strings with a NUL byte.
    return path.read_text().strip().strip("\0") if path.is_file() else None
