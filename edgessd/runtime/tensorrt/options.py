"""Options of an engine's compilation."""

from __future__ import annotations

from typing import Literal

import msgspec

from edgessd.core.errors import ConfigError


class EngineOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a compilation; they are part of the engine's key.

    Attributes:
        precision: Precision of the convolutions. Layers that can't run in it take FP16.
        dla_core: Core of the deep learning accelerator for the layers that it supports; the GPU runs the
            others. None for the GPU alone.
        workspace_mb: Upper limit of scratch memory in MiB.
        optimization_level: Effort of the search for fast kernels, 0 to 5 (TensorRT 8.6 and later).
        compute_capabilities: GPUs to compile for, e.g. ("8.6", "12.0"), with TensorRT-RTX only. Empty
            compiles for this machine's GPU.
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
