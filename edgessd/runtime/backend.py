"""The one interface that every engine runs behind."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgessd.core.tensors import TensorSpec

Tensor = NDArray[np.generic]


class Backend(Protocol):
    """Executes one engine on one device, batch 1.

    Attributes:
        name: Of the backend, e.g. `litert`.
        details: What a benchmark has to state: library, version, threads, delegate.
        input: The engine's only input.
        outputs: Every output, in the engine's order.
    """

    name: str
    details: dict[str, Any]
    input: TensorSpec
    outputs: tuple[TensorSpec, ...]

    def infer(self, tensor: Tensor) -> dict[str, Tensor]:
        """Run once.

        Args:
            tensor: Of `input.shape` and `input.dtype`.

        Returns:
            Outputs by name, in their raw dtype (int8 stays int8). The arrays are valid until the next
            call: an implementation may reuse its buffers.
        """
        ...

    def close(self) -> None:
        """Free the engine. Calling it twice is fine."""
        ...
