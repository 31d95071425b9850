"""Interface of all backends."""

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
        name: Name of the backend, e.g. `litert`.
        details: Library, version, threads and delegate, for the record of a measurement.
        input: Engine's only input.
        outputs: Engine's outputs, in its order.
        metadata: Texts of the engine file by key (ONNX metadata_props); empty for other formats.
    """

    name: str
    details: dict[str, Any]
    input: TensorSpec
    outputs: tuple[TensorSpec, ...]
    metadata: dict[str, str]

    def infer(self, tensor: Tensor) -> dict[str, Tensor]:
        """Run the engine once.

        Args:
            tensor: Array of `input.shape` and `input.dtype`.

        Returns:
            Raw outputs by name; int8 stays int8. The arrays are valid until the next call, since an
            implementation may reuse its buffers.
        """
        ...

    def close(self) -> None:
        """Free the engine. A second call does nothing."""
        ...


@runtime_checkable
class Overlapping(Protocol):
    """Backend whose device works by itself, so that a run can be submitted during another one.

    Attributes:
        in_flight: Number of runs that may be submitted before one is collected.
    """

    in_flight: int

    def submit(self, tensor: Tensor) -> None:
        """Begin a run. The tensor may be overwritten after the call."""
        ...

    def collect(self) -> dict[str, Tensor]:
        """Return the outputs of the oldest submitted run, valid until the second submit after the call."""
        ...


def require_tensor(tensor: Tensor, spec: TensorSpec) -> None:
    """Check that a tensor has the shape and dtype of an engine's input.

    Raises:
        BackendError: The tensor has another shape or dtype.
    """
    if tensor.shape != spec.shape or tensor.dtype != spec.numpy_dtype:
        raise BackendError(
            f"The input {spec.name} doesn't fit the engine",
            expected=f"{spec.dtype} {spec.shape}",
            found=f"{tensor.dtype} {tensor.shape}",
            fix="Make the tensor with Detector.preprocess",
        )


def image_layout(shape: tuple[int, ...]) -> str:
    """Return the layout of a three-channel image tensor, `NHWC` or `NCHW`; `flat` for other shapes."""
    if len(shape) == 4 and shape[3] == 3:
        return "NHWC"
    if len(shape) == 4 and shape[1] == 3:
        return "NCHW"
    return "flat"
