"""Let every anchor's sizes use the same range of integers.

All box codes share one scale, and a single anchor can set it. A detector of objects much smaller than its
smallest anchor writes a tw between -17 and 0 there, and between -3 and 3 for the other anchors. Half of its
own range is then unused, and the other anchors use few integers. A tw of an anchor w equals a tw + c of an
anchor w * exp(-c * size_variance): with a constant in the head's bias and another shape in the contract, no
box changes. This centers the widest range and halves the scale.

A smaller anchor also makes its tx larger by exp(c * size_variance). So if sizes leave room, c is as large as
sizes and positions allow, and positions get finer steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec.structs import replace

from edgessd.calibrate.channels import ChannelStatistics
from edgessd.core.anchors import AnchorLevel
from edgessd.core.arrays import DoubleArray
from edgessd.core.network_tensors import BOX_CODES
from edgessd.graph.view import GraphView, copy_of
from edgessd.quantize.float_passes.head_convs import head_convs, move_channels
from edgessd.quantize.float_passes.observed_graph import ObservedGraph

SMALLEST_POSITION = 1e-3
"""Smallest magnitude of positions that is assumed, for an anchor whose positions are always 0."""


def shift_box_sizes(observed: ObservedGraph) -> ObservedGraph:
    """Change the shape of each anchor, and the box codes of its head so that the boxes stay the same.

    Anchors that the contract clips to the image stay as they are: their centers may not lie where their
    cells do.

    Raises:
        GraphError: Another operation than head convolutions computes the box codes.
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


def _shifts(heads: Sequence[ChannelStatistics], variance: float) -> list[DoubleArray]:
    """Return c (shapes, 2) of each level, for widths and heights."""
    usual = [_by_shape(head, 1.0) for head in heads]
    seen = [_by_shape(head, 3.0) for head in heads]
    half = max(float((high - low)[:, 2:].max()) / 2 for low, high in usual)
    # The smallest shift that brings each anchor's sizes into [-half, half].
    least = [-half - low[:, 2:] for low, _ in usual]
    positions = [
        np.maximum(np.maximum(-low, high)[:, :2], SMALLEST_POSITION) for low, high in usual
    ]
    # The largest position after the smallest shift. Other positions may become as large.
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


def _by_shape(head: ChannelStatistics, deviations: float) -> tuple[DoubleArray, DoubleArray]:
    """Return the lowest and highest box codes (shapes, 4) at so many deviations from the average image."""
    low = np.maximum(head.minimum, head.mean_minimum - deviations * head.deviation_minimum)
    high = np.minimum(head.maximum, head.mean_maximum + deviations * head.deviation_maximum)
    return low.reshape(-1, 4), high.reshape(-1, 4)


def _with_shapes(level: AnchorLevel, factors: DoubleArray) -> AnchorLevel:
    shapes = np.asarray(level.shapes) * factors
    return replace(level, shapes=tuple((float(width), float(height)) for width, height in shapes))
