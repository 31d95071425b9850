"""Let positions and sizes of boxes use the same range of integers.

A box code is (tx, ty, tw, th) and all four share one scale. Trained networks write sizes four times as
large as positions: an object much smaller than its anchor has a tw of -16, while its centre is never more
than an anchor's half away. So positions get a quarter of the integers, and they matter most for just
those small objects. Multiplying two rows of the box heads by k and dividing the contract's variance by
k changes no box and fills the range.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from msgspec.structs import replace

from edgessd.calibrate.channels import ChannelStatistics
from edgessd.core.network_tensors import BOX_CODES
from edgessd.graph.float_graph import FloatGraph
from edgessd.graph.verify import checked
from edgessd.graph.view import GraphView, copy_of
from edgessd.quantize.float_passes.head_convs import head_convs, move_channels

LARGEST_FACTOR = 16.0
"""Further apart than this, statistics of a few images shouldn't be trusted."""


def balance_box_codes(graph: FloatGraph, channels: Mapping[str, ChannelStatistics]) -> FloatGraph:
    """Enlarge positions or sizes, whichever are smaller, to the magnitude of the other.

    Args:
        graph: The float graph.
        channels: Its statistics, from `collect_channels`.

    Raises:
        GraphError: Something other than head convolutions computes the box codes.
    """
    model, view = copy_of(graph.model), GraphView(graph.model)
    heads = head_convs(view, BOX_CODES)
    largest = np.max([_magnitudes(channels[head.output[0]]) for head in heads], axis=0)
    centre, size = max(float(largest[:2].max()), 1e-6), max(float(largest[2:].max()), 1e-6)
    # Powers of two change weights and variances without rounding. They end below the exact ratio, which is as
    # well: sizes mostly lie on one side of 0, and positions on both.
    centre_factor, size_factor = (
        float(2.0 ** np.floor(np.log2(np.clip(ratio, 1, LARGEST_FACTOR))))
        for ratio in (size / centre, centre / size)
    )
    factors = np.array([centre_factor, centre_factor, size_factor, size_factor])
    for head in heads:
        shapes = view.shape(head.input[1])[0] // len(factors)
        move_channels(model, view, head, np.tile(factors, shapes))
    code = graph.contract.box_code
    code = replace(
        code,
        centre_variance=code.centre_variance / centre_factor,
        size_variance=code.size_variance / size_factor,
    )
    return FloatGraph(
        model=checked(model, after="balance_box_codes"),
        contract=replace(graph.contract, box_code=code),
    )


def _magnitudes(channels: ChannelStatistics) -> np.ndarray:
    """(4,) largest magnitude of each number of a box code in an average image."""
    largest = np.maximum(-channels.mean_minimum, channels.mean_maximum)
    return np.asarray(largest.reshape(-1, 4).max(axis=0))
