"""The network's building block: convolution, batch norm and activation."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import pad

from edgessd.model.config import BatchNorm, ModelConfig


class ConvUnit(nn.Module):
    """Convolution → batch norm → ReLU6, where batch norm and ReLU6 are optional.

    Without batch norm the convolution has a bias. This is the folded form of exports, engines and folded
    checkpoints. A depthwise convolution has as many groups as channels, any other has 1.

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
            # At stride 1, SAME and symmetric padding are equal.
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
    """Make a batch norm layer with the configuration's epsilon and momentum."""
    return nn.BatchNorm2d(channels, eps=config.epsilon, momentum=config.momentum)


def pad_same(x: torch.Tensor, kernel: int, stride: int) -> torch.Tensor:
    """Pad (B, C, H, W) with zeros as TensorFlow's SAME does; an odd zero goes after the pixels.

    See "SAME" in https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2.
    """
    # int() keeps a tracing exporter from turning this arithmetic into graph operators.
    top, bottom = same_padding(int(x.shape[-2]), kernel, stride)
    left, right = same_padding(int(x.shape[-1]), kernel, stride)
    return pad(x, (left, right, top, bottom))


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Number of zeros before and after a row or column of `size` pixels."""
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2
