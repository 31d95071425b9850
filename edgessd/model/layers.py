"""Convolution, batch norm, activation: the one building block of the network."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import pad

from edgessd.model.config import BatchNorm, ModelConfig


class ConvUnit(nn.Module):
    """Convolution → batch norm → ReLU6, any of the last two absent.

    Without batch norm the convolution has a bias: that is the folded form, which exports, engines and
    folded checkpoints use. The number of groups is 1, or the number of channels (depthwise).

    Shapes: (B, in_channels, H, W) → (B, out_channels, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel: int,
        config: ModelConfig,
        stride: int = 1,
        depthwise: bool = False,
        activation: bool = True,
    ) -> None:
        super().__init__()
        norm = config.batch_norm
        self.same_padding = config.padding == "same" and stride > 1
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel,
            stride=stride,
            # At stride 1 SAME and symmetric padding agree.
            padding=0 if self.same_padding else kernel // 2,
            groups=in_channels if depthwise else 1,
            bias=norm is None,
        )
        self.norm: nn.Module = nn.Identity() if norm is None else batch_norm(out_channels, norm)
        self.activation: nn.Module = nn.ReLU6(inplace=True) if activation else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.same_padding:
            x = pad_same(x, self.conv.kernel_size[0], self.conv.stride[0])
        activated: torch.Tensor = self.activation(self.norm(self.conv(x)))
        return activated


def batch_norm(channels: int, config: BatchNorm) -> nn.BatchNorm2d:
    """A batch norm layer with the config's epsilon and momentum."""
    return nn.BatchNorm2d(channels, eps=config.epsilon, momentum=config.momentum)


def pad_same(x: torch.Tensor, kernel: int, stride: int) -> torch.Tensor:
    """Pad (B, C, H, W) with zeros as TensorFlow's SAME does; the odd one goes after.

    See "SAME" in https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2.
    """
    # int() keeps a tracing exporter from turning this arithmetic into graph operators.
    top, bottom = same_padding(int(x.shape[-2]), kernel, stride)
    left, right = same_padding(int(x.shape[-1]), kernel, stride)
    return pad(x, (left, right, top, bottom))


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after one side of `size` pixels."""
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2
