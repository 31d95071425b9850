"""Descriptions of an engine's input and output tensors."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np

from edgessd.core.errors import ConfigError

DType = Literal["float32", "float16", "int8", "uint8", "int32", "int64"]
Layout = Literal["NHWC", "NCHW", "flat"]


class QuantParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Scale and zero point of a tensor: real = scale * (integer - zero_point).

    The one form of them, in files, graphs and engines. Weights have a scale for each output channel and
    always zero point 0, so a plain array of scales stands for theirs.

    Attributes:
        scale: Positive.
        zero_point: Integer that stands for 0, in the range of the tensor's integers.
    """

    scale: float
    zero_point: int = 0

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise ConfigError("A quantization scale isn't positive", found=str(self.scale))


class TensorSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Name, shape and number form of one engine tensor.

    Attributes:
        name: Name in the engine.
        shape: Static dimensions, batch included.
        dtype: A numpy dtype name.
        quantization: Scale and zero point; None for real-valued tensors.
        layout: `NHWC` or `NCHW` for images, `flat` for anything else.
    """

    name: str
    shape: tuple[int, ...]
    dtype: DType
    quantization: QuantParams | None = None
    layout: Layout = "flat"

    @property
    def numpy_dtype(self) -> np.dtype[np.generic]:
        return np.dtype(self.dtype)


def check_number_form(tensor: TensorSpec) -> None:
    """Check that a tensor holds int8 or uint8 numbers with a scale, or floats without one.

    Raises:
        ConfigError: It has another type, integers have no scale, or floats have one.
    """
    is_integer = tensor.dtype in ("int8", "uint8")
    is_number = is_integer or tensor.dtype in ("float32", "float16")
    if not is_number or is_integer != (tensor.quantization is not None):
        raise ConfigError(
            f"The tensor {tensor.name!r} can't be read as numbers",
            expected="int8 or uint8 with a scale and a zero point, or float32 or float16 without",
            found=f"{tensor.dtype} with {tensor.quantization}",
        )


class EngineTensors(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Inputs and outputs of an engine, for files whose own format can't describe them.

    ONNX has no place for the scale of an int8 graph input, so the file's metadata holds this record.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
