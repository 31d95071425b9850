"""Polygons are clipped to the picture."""

from __future__ import annotations

import numpy as np
import pytest

from edgessd.data.synth.polygons import clip_polygon, polygon_area


def test_polygons_are_clipped_at_the_border() -> None:
    diamond = np.array([[5, -5], [15, 5], [5, 15], [-5, 5]], float)
    inside = clip_polygon(diamond, 10, 10)
    assert polygon_area(diamond) == pytest.approx(200)
    assert polygon_area(inside) == pytest.approx(100)  # the square's corners touch the diamond
    assert len(clip_polygon(diamond + 100, 10, 10)) == 0
