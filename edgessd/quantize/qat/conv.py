"""A convolution that learns its weights in quantization steps."""

from __future__ import annotations

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgessd.graph.view import int_attribute, int_attributes
from edgessd.quantize.qat.fake_quantize import fake_quantize_weight
from edgessd.quantize.schemes import Scheme


class QatConv(nn.Module):
    """A convolution whose parameters are fractions of their channels' magnitudes at the start.

    Attributes:
        name: Name of the node.
        weight, bias: Parameters; the convolution's are these times `weight_unit` and `bias_unit`.
    """

    weight_unit: Tensor
    bias_unit: Tensor

    def __init__(self, node: onnx.NodeProto, weight: np.ndarray, bias: np.ndarray) -> None:
        super().__init__()
        self.name = node.name
        self._strides = int_attributes(node, "strides", (1, 1))
        self._dilations = int_attributes(node, "dilations", (1, 1))
        self._groups = int_attribute(node, "group", 1)
        self._pads = int_attributes(node, "pads", (0, 0, 0, 0))
        start = torch.from_numpy(np.array(weight, np.float32))
        largest = start.flatten(1).abs().amax(1).clamp_min(1e-6)
        typical = largest * start[0].numel() ** 0.5
        offset = torch.from_numpy(np.array(bias, np.float32))
        self.register_buffer("weight_unit", largest.view(-1, 1, 1, 1))
        self.register_buffer("bias_unit", torch.maximum(typical, offset.abs()))
        self.weight = nn.Parameter(start / self.weight_unit)
        self.bias = nn.Parameter(offset / self.bias_unit)

    def real(self) -> tuple[Tensor, Tensor]:
        """Return the weight (out, in / groups, kh, kw) and bias (out,)."""
        return self.weight * self.weight_unit, self.bias * self.bias_unit

    @torch.no_grad()
    def set_real(self, weight: np.ndarray, bias: np.ndarray) -> None:
        """Set weight and bias; the units stay."""
        self.weight.copy_(torch.from_numpy(np.array(weight, np.float32)) / self.weight_unit)
        self.bias.copy_(torch.from_numpy(np.array(bias, np.float32)) / self.bias_unit)

    def forward(self, x: Tensor, rounding: Scheme | None) -> Tensor:
        weight, bias = self.real()
        if rounding is not None:
            weight = fake_quantize_weight(weight, rounding)
        top, left, bottom, right = self._pads
        padding = (top, left)
        if (top, left) != (bottom, right):
            x, padding = functional.pad(x, (left, right, top, bottom)), (0, 0)
        return functional.conv2d(
            x, weight, bias, self._strides, padding, self._dilations, self._groups
        )
