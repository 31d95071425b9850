"""Drawing on images: boxes and captions stay inside, colors differ, sizes follow the image."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from edgessd.core.drawing import BLACK, WHITE, class_color, draw_box, draw_caption, line_width


def blank(width: int = 300, height: int = 200) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


def test_neighboring_classes_differ_in_color() -> None:
    colors = [np.array(class_color(i), int) for i in range(20)]
    distances = [np.abs(a - b).sum() for a, b in pairwise(colors)]
    assert min(distances) > 100


def test_a_box_is_drawn_along_its_edge_alone() -> None:
    canvas = blank()
    draw_box(canvas, np.array([50, 60, 250, 180], np.float32), WHITE, width=1)
    # Anti-aliasing may mix a little of the dark outline in.
    np.testing.assert_allclose(canvas[180, 150].astype(int), WHITE, atol=25)
    assert tuple(canvas[120, 150]) == (128, 128, 128)
    assert tuple(canvas[30, 150]) == (128, 128, 128)


def test_lines_grow_with_the_image() -> None:
    assert (
        line_width(blank(320, 240)) < line_width(blank(1920, 1080)) < line_width(blank(3840, 2160))
    )


@pytest.mark.parametrize("corner", [(-40, -40), (0, 0), (290, 190), (500, 500)])
@pytest.mark.parametrize("above", [True, False])
def test_a_caption_is_visible_wherever_its_corner_lies(
    corner: tuple[int, int], above: bool
) -> None:
    canvas = blank()
    draw_caption(canvas, "cat", corner, BLACK, above=above)
    background = (canvas == BLACK).all(axis=-1)
    letters = canvas.max(axis=-1) > 200
    assert background.any()
    assert letters.any()
    rows, columns = np.nonzero(background)
    assert letters[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].any()
