"""Rounding that a training can see: integers on the way forward, learnable on the way back.

Forward it is Q and DQ. Backward, rounding counts as the identity ("straight-through", section 3 of
arXiv:1712.05877), and the range learns from what its values did to the loss ("learned step size",
section 2.1 of arXiv:1902.08153):

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
"""Below it, float16 numbers are evenly spaced, `_FLOAT16_STEPS` to one."""
_FLOAT16_STEPS = 2.0**24

_WITHIN = 0.49
"""Of a step, on both sides of an integer: what is sure to be rounded to it."""


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
        """The smallest and largest real value."""
        scale, zero_point = self.current.scale, self.current.zero_point
        return scale * (INT8_MIN - zero_point), scale * (INT8_MAX - zero_point)


def fake_quantize(x: Tensor, params: FakeParams) -> Tensor:
    """Q and DQ of an activation of any shape; gradients flow into it, the scale and the zero point."""
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
            # Its backward pass masks what lies outside in one sweep, and needs its input alone. (torch's
            # own fake_quantize isn't vectorised: five times as long on a CPU.)
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
    """The sum of products, in one sweep where both lie in memory as channels_last tensors do."""
    if first.ndim == 4:
        first, second = first.permute(0, 2, 3, 1), second.permute(0, 2, 3, 1)
    return torch.dot(first.reshape(-1), second.reshape(-1))


def activation_params(low: Tensor, high: Tensor, scheme: Scheme) -> tuple[Tensor, Tensor]:
    """Scales and zero points of ranges, (T,) each, as `scheme.params` makes them, differentiable.

    Args:
        low, high: (T,) float32, low <= 0 <= high.
        scheme: Of the graph.
    """
    if scheme.symmetric:
        scale = torch.maximum(torch.maximum(-low, high), low.new_tensor(SMALLEST_RANGE)) / INT8_MAX
        return _straight_through(scale, _as_float16(scale)), torch.zeros_like(scale)
    scale = (high - low).clamp_min(SMALLEST_RANGE) / (INT8_MAX - INT8_MIN)
    zero_point = (INT8_MIN - low / scale).clamp(INT8_MIN, INT8_MAX)
    return scale, _straight_through(zero_point, zero_point.round())


def fake_quantize_weight(weight: Tensor, scheme: Scheme) -> Tensor:
    """Q and DQ of a weight (out_channels, ...) whose channels' largest values set their scales.

    As `qparams.weight_scales` with `ranges.weights` = minmax; gradients go straight through.
    """
    scales = _weight_scales(weight, scheme)
    zeros = torch.zeros_like(scales, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scales, zeros, 0, -WEIGHT_MAX, WEIGHT_MAX)


@torch.no_grad()
def settled_weight(weight: Tensor, schemes: Sequence[Scheme]) -> Tensor:
    """A weight that every scheme rounds to the same integers, as near to them as that allows.

    Rounding hides where in its step a weight lies, so training lets whole channels drift to one side, and
    without rounding they would make another network. With one scheme this is the rounded weight itself.
    With two, whose scales differ by the rounding to float16, a point between both. The largest weight of
    a channel stays, since it sets the scale.
    """
    largest = weight.flatten(1).abs().amax(1).view(-1, *[1] * (weight.ndim - 1))
    low, high = torch.full_like(weight, -torch.inf), torch.full_like(weight, torch.inf)
    wish = torch.zeros_like(weight)
    for scheme in schemes:
        scale = _weight_scales(weight, scheme).view(largest.shape)
        integers = (weight / scale).round().clamp(-WEIGHT_MAX, WEIGHT_MAX)
        low = torch.maximum(low, (integers - _WITHIN) * scale)
        high = torch.minimum(high, (integers + _WITHIN) * scale)
        wish += integers * scale / len(schemes)
    settled = torch.minimum(torch.maximum(wish, low), high).clamp(-largest, largest)
    return torch.where((low < high) & (weight.abs() < largest), settled, weight)


@torch.no_grad()
def _weight_scales(weight: Tensor, scheme: Scheme) -> Tensor:
    """(out_channels,)"""
    limits = weight.detach().flatten(1).abs().amax(1).clamp_min(SMALLEST_RANGE)
    scales = limits / WEIGHT_MAX
    return _as_float16(scales) if scheme.float16_parameters else scales


def _straight_through(value: Tensor, rounded: Tensor) -> Tensor:
    """`rounded`, with the gradient of `value`."""
    # In this order, so that not a bit of `rounded` is lost.
    return rounded.detach() + (value - value.detach())


def _as_float16(scales: Tensor) -> Tensor:
    """As `qparams.float16_scales`: the nearest float16, the next above where float16 is coarse."""
    coarse = torch.ceil(scales * _FLOAT16_STEPS) / _FLOAT16_STEPS
    return torch.where(scales < _FLOAT16_NORMAL, coarse, scales.half().float())
