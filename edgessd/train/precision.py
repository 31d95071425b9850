"""Choice of a training's device and number format."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

from edgessd.core.errors import ConfigError

# Without one of these, bfloat16 on a CPU is emulated and several times slower than float32.
_CPU_BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


def choose_device(wanted: str, local_rank: int = 0) -> torch.device:
    """Choose the device for `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        ConfigError: The device is unknown or missing.
    """
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(
            "There is no CUDA device",
            found=f"device = {wanted}",
            fix="Train with --device auto or --device cpu",
        )
    try:
        return torch.device(f"cuda:{local_rank}" if wanted == "cuda" else wanted)
    except RuntimeError as error:
        raise ConfigError("Unknown device", expected="auto, cpu or cuda", found=wanted) from error


def choose_precision(wanted: str, device: torch.device) -> str:
    """Choose `float32` or `bfloat16`; `auto` takes bfloat16 if the device computes in it."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    return "bfloat16" if has_cpu_bfloat16(Path("/proc/cpuinfo")) else "float32"


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Return the context for the forward pass."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def has_cpu_bfloat16(cpuinfo: Path) -> bool:
    """True if the processor that the file `cpuinfo` describes (/proc/cpuinfo) computes in bfloat16."""
    if not cpuinfo.is_file():
        return False
    for line in cpuinfo.read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return not _CPU_BFLOAT16_FLAGS.isdisjoint(value.split())
    return False
