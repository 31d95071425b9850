"""A width is found from the shapes of the weights."""

from __future__ import annotations

import pytest

from edgessd.model.backbones.mobilenet_v2 import block_channels, widths_that_fit


@pytest.mark.parametrize("width", [0.35, 0.5, 0.75, 1.0, 1.3, 1.4])
@pytest.mark.parametrize("multiple", [8, 1])
def test_the_width_is_found_from_the_shapes(width: float, multiple: int) -> None:
    channels = block_channels(width, multiple)
    shapes = {"stem.conv.weight": (channels[0], 3, 3, 3)}
    for index, count in enumerate(channels[1:]):
        shapes[f"blocks.{index}.project.conv.weight"] = (count, 1, 1, 1)
    fit = widths_that_fit(shapes)
    assert fit is not None
    assert block_channels(*fit) == channels
    shapes["blocks.3.project.conv.weight"] = (7, 1, 1, 1)
    assert widths_that_fit(shapes) is None
