"""Fake quantization: rounding with gradients for values and ranges.

The forward pass computes Q and DQ. In the backward pass rounding has the gradient of the identity
("straight-through", section 3 of arXiv:1712.05877), and the range has a gradient of its own ("learned step
size", section 2.1 of arXiv:1902.08153):

    y = s (round(x / s + z) - z)      dy/ds = (y - x) / s inside the range, y / s outside
                                      dy/dz = 0 inside, -s outside
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from edgessd.core.tensors import QuantParams
from edgessd.quantize.qparams import INT8_MAX, INT8_MIN, SMALLEST_RANGE, WEIGHT_MAX
from edgessd.quantize.schemes import Scheme

_FLOAT16_NORMAL = 2.0**-14
"""Smallest normal float16. Below it, float16 numbers are evenly spaced."""

_FLOAT16_STEPS = 2.0**24
"""Number of such steps in 1."""

_WITHIN = 0.49
"""Distance from an integer, in steps, up to which a value is surely rounded to it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FakeParams:
    """Scale and zero point as tensors, through which gradients reach the learned range.

    `QuantParams` can't stand for them: its numbers have no gradient.

    Attributes:
        scale: () float32.
        zero_point: () float32 holding an integer in [-128, 127].
        current: Values of both, without gradient.
    """

    scale: Tensor
    zero_point: Tensor
    current: QuantParams

    @property
    def ends(self) -> tuple[float, float]:
        """Smallest and largest real value."""
        scale, zero_point = self.current.scale, self.current.zero_point
        return scale * (INT8_MIN - zero_point), scale * (INT8_MAX - zero_point)


def fake_quantize(x: Tensor, params: FakeParams) -> Tensor:
    """Round an activation of any shape, with gradients for it, the scale and the zero point."""
    if not torch.is_grad_enabled():
        low, high = params.ends
        return _on_grid(functional.hardtanh(x, low, high), params.current.scale)
    result: Tensor = _FakeQuantize.apply(  # type: ignore[no-untyped-call]
        x, params.scale, params.zero_point, params
    )
    return result


class _FakeQuantize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, scale: Tensor, zero_point: Tensor, params: FakeParams
    ) -> Tensor:
        low, high = params.ends
        with torch.enable_grad():
            # The backward pass of hardtanh masks values outside in one sweep, and needs only its input.
            # torch's own fake_quantize isn't vectorized: it takes five times as long on a CPU.
            inner = x.detach().requires_grad_()
            clipped = functional.hardtanh(inner, low, high)
        y = _on_grid(clipped.detach(), params.current.scale)
        ctx.inner, ctx.clipped = inner, clipped
        ctx.save_for_backward(scale, y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor | None, None]:
        scale, y = ctx.saved_tensors
        (inside,) = torch.autograd.grad(ctx.clipped, ctx.inner, gradient)
        by_scale = (_dot(gradient, y) - _dot(inside, ctx.inner.detach())) / scale
        by_zero_point = None
        if ctx.needs_input_grad[2]:
            by_zero_point = -scale * (gradient.sum() - inside.sum())
        return inside, by_scale, by_zero_point, None


def _on_grid(clipped: Tensor, scale: float) -> Tensor:
    """Round values within the range to multiples of the scale, in place."""
    return clipped.div_(scale).round_().mul_(scale)


def _dot(first: Tensor, second: Tensor) -> Tensor:
    """Return the sum of products; in one sweep for tensors in channels_last order."""
    if first.ndim == 4:
        first, second = first.permute(0, 2, 3, 1), second.permute(0, 2, 3, 1)
    return torch.dot(first.reshape(-1), second.reshape(-1))


def activation_params(low: Tensor, high: Tensor, scheme: Scheme) -> tuple[Tensor, Tensor]:
    """Return differentiable scales and zero points (T,) of ranges, equal to those of `scheme.params`.

    Args:
        low, high: (T,) float32, low <= 0 <= high.
        scheme: Scheme of the graph.
    """
    if scheme.symmetric:
        scale = torch.maximum(torch.maximum(-low, high), low.new_tensor(SMALLEST_RANGE)) / INT8_MAX
        return _straight_through(scale, _as_float16(scale)), torch.zeros_like(scale)
    scale = (high - low).clamp_min(SMALLEST_RANGE) / (INT8_MAX - INT8_MIN)
    zero_point = (INT8_MIN - low / scale).clamp(INT8_MIN, INT8_MAX)
    return scale, _straight_through(zero_point, zero_point.round())


def fake_quantize_weight(weight: Tensor, scheme: Scheme) -> Tensor:
    """Round a weight (out_channels, ...) at scales that the largest value of each channel sets.

    The result equals that of `qparams.weight_scales` and weights = "minmax"; gradients pass unchanged.
    """
    scales = _weight_scales(weight, scheme)
    zeros = torch.zeros_like(scales, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scales, zeros, 0, -WEIGHT_MAX, WEIGHT_MAX)


@torch.no_grad()
def settled_weight(weight: Tensor, schemes: Sequence[Scheme]) -> Tensor:
    """Return a weight as near as possible to its integers, that every scheme rounds to the same integers.

    Rounding hides the position of a weight within its step. Training lets whole channels drift to one side
    of their steps, so that the network without rounding would differ. With one scheme the result is the
    rounded weight. With two schemes, whose scales differ by the rounding to float16, it lies between both.
    The largest weight of a channel stays, because it sets the scale.
    """
    largest = weight.flatten(1).abs().amax(1).view(-1, *[1] * (weight.ndim - 1))
    low, high = torch.full_like(weight, -torch.inf), torch.full_like(weight, torch.inf)
    target = torch.zeros_like(weight)
    for scheme in schemes:
        scale = _weight_scales(weight, scheme).view(largest.shape)
        integers = (weight / scale).round().clamp(-WEIGHT_MAX, WEIGHT_MAX)
        low = torch.maximum(low, (integers - _WITHIN) * scale)
        high = torch.minimum(high, (integers + _WITHIN) * scale)
        target += integers * scale / len(schemes)
    settled = torch.minimum(torch.maximum(target, low), high).clamp(-largest, largest)
    return torch.where((low < high) & (weight.abs() < largest), settled, weight)


@torch.no_grad()
def _weight_scales(weight: Tensor, scheme: Scheme) -> Tensor:
    """Return the scales (out_channels,)."""
    limits = weight.detach().flatten(1).abs().amax(1).clamp_min(SMALLEST_RANGE)
    scales = limits / WEIGHT_MAX
    return _as_float16(scales) if scheme.float16_parameters else scales


def _straight_through(value: Tensor, rounded: Tensor) -> Tensor:
    """Return `rounded` with the gradient of `value`."""
    # This order of operations keeps every bit of `rounded`.
    return rounded.detach() + (value - value.detach())


def _as_float16(scales: Tensor) -> Tensor:
    """Round as `qparams.float16_scales` does: to the nearest float16, or up below its normal numbers."""
    coarse = torch.ceil(scales * _FLOAT16_STEPS) / _FLOAT16_STEPS
    return torch.where(scales < _FLOAT16_NORMAL, coarse, scales.half().float())
