"""Quantized network between ONNX and TFLite: int8 activations, constants and nodes.

A Q/DQ graph has three nodes where an integer engine has one. Here each Q/DQ pair is the scale and zero
point of an `Activation`, and an activation function is part of the node that it follows.

Shapes are kept in ONNX's order. An activation of layout `NCHW` lies in memory as NHWC, which is all
that TFLite knows; one of layout `plain` lies in the order of its shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from edgessd.core.errors import LoweringError
from edgessd.core.tensors import QuantParams

Layout = Literal["NCHW", "plain"]
INT8_MIN, INT8_MAX = -128, 127


@dataclass(frozen=True, kw_only=True, slots=True)
class Activation:
    """One int8 tensor: real = scale * (integer - zero_point).

    Attributes:
        name: Name of the float tensor in the ONNX graph.
        shape: In ONNX's order.
        layout: Order in memory, see the module.
        params: Scale, a float32 value, and zero point, -128 to 127.
    """

    name: str
    shape: tuple[int, ...]
    layout: Layout
    params: QuantParams

    @property
    def physical_shape(self) -> tuple[int, ...]:
        """The shape in memory order."""
        if self.layout == "NCHW":
            batch, channels, height, width = self.shape
            return (batch, height, width, channels)
        return self.shape

    def same_qparams(self, other: Activation) -> bool:
        """Tell whether two tensors share scale and zero point."""
        return self.params == other.params

    def physical_axis(self, axis: int) -> int:
        """Return the position of an axis of `shape` in memory; negative axes count from the end."""
        axis %= len(self.shape)
        return (0, 3, 1, 2)[axis] if self.layout == "NCHW" else axis


@dataclass(frozen=True, kw_only=True, slots=True)
class Constant:
    """An initializer, with scale and zero point if a DequantizeLinear follows it.

    Attributes:
        name: Name of the initializer.
        values: Stored values.
        scale: (channels,) or () float32; None for a plain initializer.
        zero_point: Integers of the scale's shape; None for a plain initializer.
        axis: Dimension of `values` that a (channels,) scale belongs to.
    """

    name: str
    values: NDArray[Any]
    scale: NDArray[np.float32] | None = None
    zero_point: NDArray[Any] | None = None
    axis: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Clamp:
    """Bounds of an activation function, in real values: Relu is 0 to infinity."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantNode:
    """One op with int8 activations on both sides.

    Attributes:
        name: Name of the ONNX node, for messages and tensor names.
        op_type: ONNX's type, or `DepthwiseConv` for a Conv with as many groups as channels, or
            `Requantize` for a second Q/DQ pair with another scale or zero point.
        inputs: One entry per ONNX input; None for an optional input that is left out.
        output: The only output, after `clamp`.
        attributes: ONNX's attributes.
        clamp: Relu or Clip between the operator and its output's QuantizeLinear.
    """

    name: str
    op_type: str
    inputs: tuple[Activation | Constant | None, ...]
    output: Activation
    attributes: Mapping[str, Any]
    clamp: Clamp | None = None

    def refuse(self, why: str, *, expected: str | None = None, fix: str | None = None) -> NoReturn:
        """Raise a LoweringError that names this node, its operator and the reason."""
        raise LoweringError(
            f"{self.op_type} node {self.name!r} can't be lowered to TFLite: {why}",
            expected=expected,
            fix=fix,
        )

    def activation(self, position: int = 0) -> Activation:
        """Return the activation at an input position, or refuse."""
        value = self.inputs[position] if position < len(self.inputs) else None
        if not isinstance(value, Activation):
            self.refuse(f"its input {position} isn't a quantized activation")
        return value

    def image(self, position: int = 0) -> Activation:
        """Return the NCHW image at an input position, or refuse."""
        value = self.activation(position)
        if value.layout != "NCHW":
            self.refuse(f"its input {value.name!r} of shape {value.shape} isn't an NCHW image")
        return value

    def constant(self, position: int) -> Constant | None:
        """Return the constant at an input position, None if it is left out; refuse an activation."""
        value = self.inputs[position] if position < len(self.inputs) else None
        if isinstance(value, Activation):
            self.refuse(f"its input {position}, {value.name!r}, is computed and must be constant")
        return value

    def activations(self) -> tuple[Activation, ...]:
        """Return all inputs that are activations."""
        return tuple(value for value in self.inputs if isinstance(value, Activation))

    def require_same_qparams(self, value: Activation) -> None:
        """Refuse an operator that only moves values between different scales or zero points."""
        if not value.same_qparams(self.output):
            self.refuse(
                f"it moves values without computing, but {value.name!r} has scale "
                f"{value.params.scale:g}, zero point {value.params.zero_point} and its output "
                f"{self.output.params.scale:g}, {self.output.params.zero_point}",
                expected="one scale and zero point on both sides",
                fix="Merge the ranges of its inputs and output before quantizing",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantNetwork:
    """Nodes in an order in which they can be executed.

    Attributes:
        inputs: The graph's inputs under its names.
        outputs: The graph's outputs under its names and in its order.
        nodes: All operators.
    """

    inputs: tuple[Activation, ...]
    outputs: tuple[Activation, ...]
    nodes: tuple[QuantNode, ...]
