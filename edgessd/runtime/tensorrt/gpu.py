"""Which GPU this is: part of an engine's identity."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuIdentity:
    """The GPU that engines are compiled for and run on.

    Attributes:
        name: As the driver calls it, e.g. "Orin".
        capability: Compute capability, (major, minor).
        total_memory: Bytes.
        unified: CPU and GPU share their RAM.
    """

    name: str
    capability: tuple[int, int]
    total_memory: int
    unified: bool

    @property
    def compute_capability(self) -> str:
        """E.g. "8.7"."""
        return f"{self.capability[0]}.{self.capability[1]}"

    @property
    def has_int8(self) -> bool:
        """Whether the GPU multiplies 8-bit integers (DP4A or tensor cores).

        https://docs.nvidia.com/deeplearning/tensorrt/latest/getting-started/support-matrix.html: all
        since 7.0, and 6.1 of the generations before; not 5.3 (Nano) and 6.2 (TX2).
        """
        return self.capability >= (7, 0) or self.capability == (6, 1)
