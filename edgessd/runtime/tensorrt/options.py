"""What a person or a target asks of an engine's compilation."""

from __future__ import annotations

from typing import Literal

import msgspec

from edgessd.core.errors import ConfigError


class EngineOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Part of an engine's identity: another option makes another engine.

    Attributes:
        precision: Of the layers that do the work. Layers that can't run in it take FP16.
        dla_core: Deep learning accelerator that runs what it can, the GPU runs the rest; None for the
            GPU alone.
        workspace_mb: Upper limit of scratch memory, MiB.
        optimization_level: 0 to 5, how long to search for fast kernels (TensorRT 8.6 and later).
        compute_capabilities: GPUs to compile for, e.g. ("8.6", "12.0"), which need not be here; only
            TensorRT-RTX can do that. Empty compiles for this machine's GPU.
    """

    precision: Literal["int8", "fp16"]
    dla_core: int | None = None
    workspace_mb: int = 1024
    optimization_level: int = 3
    compute_capabilities: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for key, value, least, most in (
            ("dla_core", self.dla_core or 0, 0, 7),
            ("workspace_mb", self.workspace_mb, 1, 1 << 20),
            ("optimization_level", self.optimization_level, 0, 5),
        ):
            if not least <= value <= most:
                raise ConfigError(
                    f"{key} is out of range", expected=f"{least} to {most}", found=str(value)
                )
