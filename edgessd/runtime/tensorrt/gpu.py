"""Identity of a GPU, which an engine depends on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuIdentity:
    """GPU that engines are compiled for and run on.

    Attributes:
        name: Name from the driver, e.g. "Orin".
        capability: Compute capability as (major, minor).
        total_memory: Memory in bytes.
        unified: True if CPU and GPU share their RAM.
    """

    name: str
    capability: tuple[int, int]
    total_memory: int
    unified: bool

    @property
    def compute_capability(self) -> str:
        """Compute capability as text, e.g. "8.7"."""
        return f"{self.capability[0]}.{self.capability[1]}"

    @property
    def has_int8(self) -> bool:
        """True if the GPU multiplies 8-bit integers (DP4A or tensor cores).

        Compute capabilities 6.1 and 7.0 or later have it; 5.3 (Nano) and 6.2 (TX2) don't:
        https://docs.nvidia.com/deeplearning/tensorrt/latest/getting-started/support-matrix.html
        """
        return self.capability >= (7, 0) or self.capability == (6, 1)
