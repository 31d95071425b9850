"""Means and covariances of the inputs of convolutions over a few images.

A layer's output error is its weights' error times its inputs. So the moments of the inputs tell which
errors of weights matter and which cancel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edgessd.calibrate.calibration_set import Pixels
from edgessd.calibrate.channels import Values, each_image
from edgessd.core.contract import Preprocess
from edgessd.graph.view import GraphView, int_attribute, int_attributes

POSITIONS = 256
"""Largest number of output positions per image; inputs of neighboring positions are nearly equal."""


@dataclass(frozen=True, kw_only=True, eq=False)
class InputMoments:
    """Moments of the patches that a convolution multiplies with its weights.

    Attributes:
        mean: (groups, K) float32, with K = in_channels / groups * kernel height * kernel width, in the
            order of the weight.
        covariance: (groups, K, K) float32.
        count: Number of patches.
    """

    mean: NDArray[np.float32]
    covariance: NDArray[np.float32]
    count: int


def collect_moments(
    model: onnx.ModelProto,
    preprocess: Preprocess,
    convolutions: Sequence[onnx.NodeProto],
    samples: Pixels,
) -> dict[str, InputMoments]:
    """Collect the moments of each convolution's inputs, by node name.

    Args:
        model: Float model.
        preprocess: Preprocessing of its input.
        convolutions: Nodes of the graph.
        samples: Pixels (n, 3, H, W) from `draw_samples`.
    """
    view = GraphView(model)
    sums = {conv.name: _Sums(view, conv) for conv in convolutions}
    names = list(dict.fromkeys(conv.input[0] for conv in convolutions))

    def look(values: Values) -> list[_ImageMoments]:
        return [sums[conv.name].of_image(values[conv.input[0]][0]) for conv in convolutions]

    for image in each_image(model, preprocess, names, samples, look):
        # In the images' order: float32 sums in the threads' order would differ in their last bits.
        for conv, moments in zip(convolutions, image, strict=True):
            sums[conv.name].add(moments)
    return {name: entry.moments() for name, entry in sums.items()}


class _ImageMoments(NamedTuple):
    """Moments of one image's patches: mean (groups, K), sum of products around it, and their number."""

    mean: NDArray[np.float64]
    within: NDArray[np.float32]
    patches: int


class _Sums:
    """Running sums of patches and of their products."""

    def __init__(self, view: GraphView, conv: onnx.NodeProto) -> None:
        _, per_group, *self._kernel = view.shape(conv.input[1])
        self._groups = int_attribute(conv, "group", 1)
        self._strides = int_attributes(conv, "strides", (1, 1))
        self._dilations = int_attributes(conv, "dilations", (1, 1))
        self._pads = int_attributes(conv, "pads", (0, 0, 0, 0))
        size = per_group * int(np.prod(self._kernel))
        self._sum = np.zeros((self._groups, size), np.float64)
        # Each image is summed around its own mean, and the means are summed in float64. For a channel that
        # hardly varies, a difference of float32 sums would be rounding noise.
        self._within = np.zeros((self._groups, size, size), np.float32)
        self._between = np.zeros((self._groups, size, size), np.float64)
        self._count = 0

    def of_image(self, feature_map: NDArray[np.float32]) -> _ImageMoments:
        """Compute the moments of a feature map (C, H, W); several threads may call it."""
        patches = self._patches(feature_map)
        count = patches.shape[2]
        mean = patches.mean(axis=2, dtype=np.float64)
        patches = patches - mean.astype(np.float32)[:, :, None]
        # For a single group BLAS detects that the product is symmetric, and computes half of it.
        dense = len(patches) == 1
        products = patches[0] @ patches[0].T if dense else patches @ patches.transpose(0, 2, 1)
        return _ImageMoments(mean, np.asarray(products, np.float32), count)

    def add(self, image: _ImageMoments) -> None:
        """Take in one image."""
        mean, within, count = image
        self._sum += mean * count
        self._within += within
        self._between += np.einsum("gi,gj->gij", mean * count, mean)
        self._count += count

    def moments(self) -> InputMoments:
        mean = self._sum / max(self._count, 1)
        covariance = (self._within + self._between) / max(self._count, 1)
        covariance -= np.einsum("gi,gj->gij", mean, mean)
        return InputMoments(
            mean=mean.astype(np.float32),
            covariance=covariance.astype(np.float32),
            count=self._count,
        )

    def _patches(self, feature_map: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the inputs (groups, K, positions) under the kernel, zero beyond the edge."""
        top, left, bottom, right = self._pads
        padded = np.pad(feature_map, ((0, 0), (top, bottom), (left, right)))
        (tall, wide), (down, across) = self._kernel, self._dilations
        spans = ((tall - 1) * down + 1, (wide - 1) * across + 1)
        windows = sliding_window_view(padded, spans, axis=(1, 2))[..., ::down, ::across]
        windows = windows[:, :: self._strides[0], :: self._strides[1]]
        step = int(np.ceil(np.sqrt(windows.shape[1] * windows.shape[2] / POSITIONS)))
        windows = windows[:, step // 2 :: step, step // 2 :: step]
        channels, rows, columns = windows.shape[:3]
        ordered = windows.transpose(0, 3, 4, 1, 2)  # (C, kh, kw, rows, columns)
        return np.ascontiguousarray(ordered).reshape(
            self._groups, channels // self._groups * tall * wide, rows * columns
        )
