"""Let every anchor's sizes use the same range of integers.

All box codes share one scale, and one anchor can set it for all: a detector of objects much smaller than
its smallest anchor writes a tw between -17 and 0 there and between -3 and 3 everywhere else, so half of
the integers are left to every other anchor, and half of its own range is never used. A tw of an anchor w
is a tw + c of the anchor w * exp(-c * size_variance): a constant in the head's bias and another shape in
the contract, and no box changes. With it the widest range is centred, and the scale is half as large.

A smaller anchor also makes its tx larger by exp(c * size_variance), so where sizes have room to spare,
c is as large as sizes and positions allow: positions get finer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from edgessd.calibrate.channels import ChannelStatistics
from edgessd.core.anchors import AnchorLevel
from edgessd.core.network_tensors import BOX_CODES
from edgessd.graph.view import GraphView, copy_of
from edgessd.quantize.float_passes.head_convs import head_convs, move_channels
from edgessd.quantize.float_passes.observed_graph import ObservedGraph

Array = NDArray[np.float64]

SMALLEST_POSITION = 1e-3
"""Positions of an anchor that never moves count as at least this far from 0."""


def shift_box_sizes(observed: ObservedGraph) -> ObservedGraph:
    """Give each anchor another shape, and its head the box codes that make the same boxes of it.

    Anchors that the contract clips to the image stay as they are: their centers may not lie where their
    cells do.

    Raises:
        GraphError: Something other than head convolutions computes the box codes.
    """
    graph, contract = observed.graph, observed.graph.contract
    if contract.anchors.clip:
        return observed
    channels = observed.channels
    model, view = copy_of(graph.model), GraphView(graph.model)
    heads = head_convs(view, BOX_CODES)
    variance = contract.box_code.size_variance
    shifts = _shifts([channels[head.output[0]] for head in heads], variance)
    moved = dict(channels)
    for head, shift in zip(heads, shifts, strict=True):
        factors = np.concatenate([np.exp(shift * variance), np.ones_like(shift)], axis=1).ravel()
        offsets = np.concatenate([np.zeros_like(shift), shift], axis=1).ravel()
        move_channels(model, view, head, factors, offsets)
        moved[head.output[0]] = channels[head.output[0]].moved(factors, offsets)
    levels = [
        _with_shapes(level, np.exp(-shift * variance))
        for level, shift in zip(contract.anchors.levels, shifts, strict=True)
    ]
    contract = replace(contract, anchors=replace(contract.anchors, levels=tuple(levels)))
    return observed.rewritten(model, by="shift_box_sizes", contract=contract, channels=moved)


def _shifts(heads: Sequence[ChannelStatistics], variance: float) -> list[Array]:
    """c (shapes, 2) of each level, for widths and heights."""
    usual = [_by_shape(head, 1.0) for head in heads]
    seen = [_by_shape(head, 3.0) for head in heads]
    half = max(float((high - low)[:, 2:].max()) / 2 for low, high in usual)
    # Each anchor's sizes must end up within [-half, half]: that is the least shift, ...
    least = [-half - low[:, 2:] for low, _ in usual]
    positions = [
        np.maximum(np.maximum(-low, high)[:, :2], SMALLEST_POSITION) for low, high in usual
    ]
    # ... and with it some positions are as large as this, whatever is done; others may get there too.
    largest = max(
        half,
        *(float((at * np.exp(c * variance)).max()) for at, c in zip(positions, least, strict=True)),
    )
    return [
        np.maximum(
            np.minimum(half - high[:, 2:], np.log(largest / at) / variance),
            c,
        )
        for (_, high), at, c in zip(seen, positions, least, strict=True)
    ]


def _by_shape(head: ChannelStatistics, deviations: float) -> tuple[Array, Array]:
    """(shapes, 4) lowest and highest box codes of an image so many deviations from the average one."""
    low = np.maximum(head.minimum, head.mean_minimum - deviations * head.deviation_minimum)
    high = np.minimum(head.maximum, head.mean_maximum + deviations * head.deviation_maximum)
    return low.reshape(-1, 4), high.reshape(-1, 4)


def _with_shapes(level: AnchorLevel, factors: Array) -> AnchorLevel:
    shapes = np.asarray(level.shapes) * factors
    return replace(level, shapes=tuple((float(width), float(height)) for width, height in shapes))
