"""Let positions and sizes of boxes use the same range of integers.

A box code is (tx, ty, tw, th), and all four numbers share one scale. Trained networks write sizes that are
four times as large as positions: an object much smaller than its anchor has a tw of -16, while its center is
at most half an anchor away. So positions use a quarter of the integers, although they matter most for these
small objects. Multiplying two rows of the box heads by k and dividing the contract's variance by k changes no
box and fills the range.
"""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from edgessd.calibrate.channels import ChannelStatistics
from edgessd.core.network_tensors import BOX_CODES
from edgessd.graph.view import GraphView, copy_of
from edgessd.quantize.float_passes.head_convs import head_convs, move_channels
from edgessd.quantize.float_passes.observed_graph import ObservedGraph

LARGEST_FACTOR = 16.0
"""Largest k. A larger ratio in the statistics of a few images isn't reliable."""


def balance_box_codes(observed: ObservedGraph) -> ObservedGraph:
    """Enlarge positions or sizes, whichever are smaller, to the magnitude of the others.

    Raises:
        GraphError: Another operation than head convolutions computes the box codes.
    """
    graph, channels = observed.graph, observed.channels
    model, view = copy_of(graph.model), GraphView(graph.model)
    heads = head_convs(view, BOX_CODES)
    largest = np.max([_magnitudes(channels[head.output[0]]) for head in heads], axis=0)
    center, size = max(float(largest[:2].max()), 1e-6), max(float(largest[2:].max()), 1e-6)
    # Powers of two change weights and variances without rounding. They are smaller than the exact ratio. That
    # is right, because sizes mostly lie on one side of 0, and positions on both.
    center_factor, size_factor = (
        float(2.0 ** np.floor(np.log2(np.clip(ratio, 1, LARGEST_FACTOR))))
        for ratio in (size / center, center / size)
    )
    factors = np.array([center_factor, center_factor, size_factor, size_factor])
    moved = dict(channels)
    for head in heads:
        shapes = view.shape(head.input[1])[0] // len(factors)
        tiled = np.tile(factors, shapes)
        move_channels(model, view, head, tiled)
        moved[head.output[0]] = channels[head.output[0]].moved(tiled, np.zeros_like(tiled))
    code = graph.contract.box_code
    code = replace(
        code,
        centre_variance=code.centre_variance / center_factor,
        size_variance=code.size_variance / size_factor,
    )
    contract = replace(graph.contract, box_code=code)
    return observed.rewritten(model, by="balance_box_codes", contract=contract, channels=moved)


def _magnitudes(channels: ChannelStatistics) -> np.ndarray:
    """Return the largest magnitude (4,) of each number of a box code in an average image."""
    largest = np.maximum(-channels.mean_minimum, channels.mean_maximum)
    return np.asarray(largest.reshape(-1, 4).max(axis=0))
