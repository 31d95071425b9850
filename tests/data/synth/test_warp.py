"""Bent sheets: the bending, its inverse, and the drawing agree."""

from __future__ import annotations

import numpy as np

from edgessd.data.synth.warp import Bend, apply_homography, random_bend, view_matrix, warp_into


def test_bending_and_its_inverse_agree() -> None:
    rng = np.random.default_rng(5)
    points = rng.uniform(5, 95, (200, 2)) * (2, 1)
    checked = 0
    for _ in range(60):
        bend = random_bend(rng, (200, 100), 1.0)
        if bend is None:
            continue
        checked += 1
        np.testing.assert_allclose(bend.to_sheet(bend.to_plane(points)), points, atol=0.02)
    assert checked > 8


def test_a_bent_sheet_is_drawn_at_its_mapped_points() -> None:
    """A white square on black: its centroid in the picture is its mapped center."""
    waves = np.array([[3.0, -2.0, 0.03, 0.02, 0.4, 1.1]])
    bend = Bend(size=(300, 200), angle=0.9, bow=0.2, along_x=True, waves=waves)
    matrix = view_matrix((300, 200), scale=1, rotation=0.3, pitch=0.3, yaw=0.2, distance=2)
    matrix = np.array([[1, 0, 200], [0, 1, 150], [0, 0, 1]]) @ matrix
    for x, y in ((60, 50), (150, 100), (250, 160)):
        sheet = np.zeros((200, 300), np.uint8)
        sheet[y - 4 : y + 4, x - 4 : x + 4] = 255
        drawn = warp_into(sheet, matrix, bend, (0, 0, 400, 300)).astype(float)
        rows, columns = np.mgrid[:300, :400] + 0.5
        seen = [(columns * drawn).sum() / drawn.sum(), (rows * drawn).sum() / drawn.sum()]
        projected = apply_homography(matrix, bend.to_plane(np.array([[x, y]], float)))[0]
        np.testing.assert_allclose(seen, projected, atol=0.25)
