"""The one interface that every engine runs behind."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edgessd.core.errors import BackendError
from edgessd.core.tensors import TensorSpec

Tensor = NDArray[np.generic]


class Backend(Protocol):
    """Executes one engine on one device, batch 1.

    Attributes:
        name: Of the backend, e.g. `litert`.
        details: What a benchmark has to state: library, version, threads, delegate.
        input: The engine's only input.
        outputs: Every output, in the engine's order.
        metadata: Texts that the engine file carries by key (ONNX metadata_props), else empty.
    """

    name: str
    details: dict[str, Any]
    input: TensorSpec
    outputs: tuple[TensorSpec, ...]
    metadata: dict[str, str]

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


@runtime_checkable
class Overlapping(Protocol):
    """A backend whose device works by itself, so that one run can be given to it during another.

    Attributes:
        in_flight: Runs that may be submitted and not yet collected.
    """

    in_flight: int

    def submit(self, tensor: Tensor) -> None:
        """Begin a run; the tensor may be written again once this has returned."""
        ...

    def collect(self) -> dict[str, Tensor]:
        """Outputs of the oldest submitted run, valid until the second submit after this one."""
        ...


def require_tensor(tensor: Tensor, spec: TensorSpec) -> None:
    """Refuse a tensor that an engine would misread or copy silently.

    Raises:
        BackendError: Another shape or dtype than `spec`.
    """
    if tensor.shape != spec.shape or tensor.dtype != spec.numpy_dtype:
        raise BackendError(
            f"The input {spec.name} doesn't fit the engine",
            expected=f"{spec.dtype} {spec.shape}",
            found=f"{tensor.dtype} {tensor.shape}",
            fix="Make it with core.preprocess, or let Detector do it",
        )


def image_layout(shape: tuple[int, ...]) -> str:
    """`NHWC` or `NCHW` of a three-channel image tensor, `flat` for anything else."""
    if len(shape) == 4 and shape[3] == 3:
        return "NHWC"
    if len(shape) == 4 and shape[1] == 3:
        return "NCHW"
    return "flat"
