"""Anchors (default boxes, priors), as data and as an array.

An `AnchorSpec` lists, per feature map, the grid and the shapes at each of its cells. SSD implementations
disagree on the order of shapes and on the distance between centers, so a manifest carries these lists and
not the name of a formula. `ssd_levels` is the formula of section 2.2 of the SSD paper (Liu et al., 2016,
arXiv:1512.02325).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from edgessd.core.arrays import FloatArray
from edgessd.core.errors import ConfigError


class AnchorLevel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Anchors of one feature map, in fractions of the network's input.

    Attributes:
        rows: Number of cells from top to bottom.
        columns: Number of cells from left to right.
        step: Distance between neighboring centers as (x, y); the first center lies at half a step.
            Usually (1 / columns, 1 / rows).
        shapes: (width, height) of each anchor at a cell, in the order of the head's channels.
    """

    rows: int
    columns: int
    step: tuple[float, float]
    shapes: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 1 or not self.shapes:
            raise ConfigError(
                "An anchor level is empty",
                expected="at least one row, one column and one shape",
                found=f"rows={self.rows}, columns={self.columns}, {len(self.shapes)} shapes",
            )
        if any(side <= 0 for shape in self.shapes for side in shape):
            raise ConfigError("An anchor has no area", expected="sides > 0", found=str(self.shapes))


class AnchorSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All anchors of a detector: levels in head order, cells row-major, then shapes."""

    levels: tuple[AnchorLevel, ...]
    clip: bool = False

    @property
    def count(self) -> int:
        """Number of anchors, N."""
        return sum(level.rows * level.columns * len(level.shapes) for level in self.levels)

    @property
    def shapes_per_level(self) -> tuple[int, ...]:
        """Number of anchors at each cell, one entry a level (K in the head's K * 4 channels)."""
        return tuple(len(level.shapes) for level in self.levels)


def anchor_boxes(spec: AnchorSpec) -> FloatArray:
    """Compute all anchors as (N, 4) float32 cxcywh, in fractions of the network's input."""
    boxes = np.concatenate([_level_boxes(level) for level in spec.levels])
    return np.clip(boxes, 0, 1) if spec.clip else boxes


def ssd_levels(
    *,
    grids: Sequence[tuple[int, int]],
    scales: Sequence[float],
    ratios: Sequence[Sequence[float]],
    skip_extra_on_first: bool = False,
) -> tuple[AnchorLevel, ...]:
    """Make the SSD paper's default boxes: per level one square, one larger square, and two per ratio.

    Args:
        grids: (rows, columns) of each feature map.
        scales: Anchor scale of each level as a fraction of the input, and one more for the square
            of sqrt(s_k * s_k+1) at the last level: len(grids) + 1 numbers.
        ratios: Aspect ratios r > 1 of each level; r and 1 / r are both made.
        skip_extra_on_first: Leave out the sqrt(s_k * s_k+1) square on the first level, as MobileNet
            SSDs do to keep 3 anchors there.

    Returns:
        Levels with shapes in the order (s, s); (sqrt(s s'), sqrt(s s')); then for each ratio
        (s sqrt r, s / sqrt r), (s / sqrt r, s sqrt r).
    """
    if len(scales) != len(grids) + 1 or len(ratios) != len(grids):
        raise ConfigError(
            "Anchor scales and ratios don't fit the feature maps",
            expected=f"{len(grids) + 1} scales and {len(grids)} lists of ratios",
            found=f"{len(scales)} scales and {len(ratios)} lists of ratios",
        )
    levels = []
    for index, (rows, columns) in enumerate(grids):
        scale, next_scale = scales[index], scales[index + 1]
        shapes = [(scale, scale)]
        if not (skip_extra_on_first and index == 0):
            shapes.append((math.sqrt(scale * next_scale),) * 2)
        for ratio in ratios[index]:
            long, short = scale * math.sqrt(ratio), scale / math.sqrt(ratio)
            shapes += [(long, short), (short, long)]
        levels.append(
            AnchorLevel(
                rows=rows, columns=columns, step=(1 / columns, 1 / rows), shapes=tuple(shapes)
            )
        )
    return tuple(levels)


def _level_boxes(level: AnchorLevel) -> FloatArray:
    center_x = (np.arange(level.columns) + 0.5) * level.step[0]
    center_y = (np.arange(level.rows) + 0.5) * level.step[1]
    grid_y, grid_x = np.meshgrid(center_y, center_x, indexing="ij")
    centers = np.stack([grid_x, grid_y], axis=-1).reshape(-1, 1, 2)
    shapes = np.asarray(level.shapes, np.float64).reshape(1, -1, 2)
    cells, kinds = centers.shape[0], shapes.shape[1]
    boxes = np.concatenate(
        [np.broadcast_to(centers, (cells, kinds, 2)), np.broadcast_to(shapes, (cells, kinds, 2))],
        axis=-1,
    )
    return boxes.reshape(-1, 4).astype(np.float32)
