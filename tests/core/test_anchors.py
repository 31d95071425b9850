"""Anchors: count, order and shapes by section 2.2 of the SSD paper."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgessd.core.anchors import AnchorLevel, AnchorSpec, anchor_boxes, ssd_levels
from edgessd.core.errors import ConfigError


def test_the_standard_300_pixel_detector_has_1917_anchors() -> None:
    grids = [(19, 19), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)]
    spec = AnchorSpec(
        levels=ssd_levels(
            grids=grids,
            scales=[0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0],
            ratios=[[2], *[[2, 3]] * 5],
            skip_extra_on_first=True,
        )
    )
    assert spec.count == 1917
    assert spec.shapes_per_level == (3, 6, 6, 6, 6, 6)
    boxes = anchor_boxes(spec)
    assert boxes.shape == (1917, 4)
    assert boxes.dtype == np.float32


def test_cells_run_row_by_row_and_shapes_last() -> None:
    level = AnchorLevel(rows=2, columns=3, step=(1 / 3, 1 / 2), shapes=((0.1, 0.2), (0.3, 0.4)))
    boxes = anchor_boxes(AnchorSpec(levels=(level,)))
    np.testing.assert_allclose(boxes[0], [1 / 6, 1 / 4, 0.1, 0.2], rtol=1e-6)
    np.testing.assert_allclose(boxes[1], [1 / 6, 1 / 4, 0.3, 0.4], rtol=1e-6)
    np.testing.assert_allclose(boxes[2], [3 / 6, 1 / 4, 0.1, 0.2], rtol=1e-6)  # one to the right
    np.testing.assert_allclose(boxes[6], [1 / 6, 3 / 4, 0.1, 0.2], rtol=1e-6)  # one down


def test_shapes_of_a_level() -> None:
    (level,) = ssd_levels(grids=[(1, 1)], scales=[0.4, 0.9], ratios=[[2, 3]])
    expected = [
        (0.4, 0.4),
        (0.6, 0.6),  # sqrt(0.4 * 0.9)
        (0.4 * math.sqrt(2), 0.4 / math.sqrt(2)),
        (0.4 / math.sqrt(2), 0.4 * math.sqrt(2)),
        (0.4 * math.sqrt(3), 0.4 / math.sqrt(3)),
        (0.4 / math.sqrt(3), 0.4 * math.sqrt(3)),
    ]
    np.testing.assert_allclose(level.shapes, expected, rtol=1e-12)


def test_clipping_is_a_choice() -> None:
    level = AnchorLevel(rows=1, columns=1, step=(1, 1), shapes=((1.5, 0.5),))
    assert anchor_boxes(AnchorSpec(levels=(level,)))[0, 2] == pytest.approx(1.5)
    assert anchor_boxes(AnchorSpec(levels=(level,), clip=True))[0, 2] == 1


@pytest.mark.parametrize(
    "change", [{"rows": 0}, {"columns": 0}, {"shapes": ()}, {"shapes": ((0.1, 0.0),)}]
)
def test_an_empty_level_is_refused(change) -> None:
    settings = {"rows": 1, "columns": 1, "step": (1, 1), "shapes": ((0.1, 0.1),)}
    with pytest.raises(ConfigError):
        AnchorLevel(**{**settings, **change})


def test_scales_must_fit_the_feature_maps() -> None:
    with pytest.raises(ConfigError, match="2 scales and 1 lists"):
        ssd_levels(grids=[(1, 1)], scales=[0.2], ratios=[[2]])
