"""Boxes enclose the visible modules of a code, and hidden codes have none."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgessd.core.boxes import iou_matrix
from edgessd.data.synth.canvas import MIN_VISIBLE, Canvas
from edgessd.data.synth.codes import ARUCO, DATAMATRIX, LABELS, random_code
from edgessd.data.synth.printing import PLAIN_INK, print_code
from edgessd.data.synth.sheets import bare_sheet
from edgessd.data.synth.warp import Bend, apply_homography, random_bend, view_matrix


@pytest.mark.parametrize("class_id", range(len(LABELS)))
def test_boxes_enclose_the_modules_and_nothing_else(
    class_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A black code on white, turned, bent and tilted: the hull of its dark pixels is the box."""
    monkeypatch.setattr(Bend, "shade", lambda self, image, light: image)  # white stays white
    rng = np.random.default_rng(class_id)
    for attempt in range(12):
        code = random_code(rng, class_id)
        while code.dark.shape[0] > 40 and not code.linear:
            code = random_code(rng, class_id)
        item = print_code(rng, code, 160, PLAIN_INK)
        # The digits under a 1-D code are dark and outside: wipe everything beyond the outline.
        (left, top), (right, bottom) = item.outline[0].astype(int), item.outline[2].astype(int)
        wiped = np.full_like(item.image, 255)
        wiped[top:bottom, left:right] = item.image[top:bottom, left:right]
        sheet = bare_sheet(type(item)(image=wiped, outline=item.outline, class_id=class_id))
        size = (wiped.shape[1], wiped.shape[0])
        canvas = Canvas(np.full((400, 400, 3), 255, np.uint8), rng, 0.0)
        bend = None
        while attempt % 2 and bend is None:
            bend = random_bend(rng, size, 1.0)
        matrix = view_matrix(
            size, scale=0.9, rotation=rng.uniform(-3, 3), pitch=0.4, yaw=-0.3, distance=2.0
        )
        matrix = np.array([[1, 0, 200], [0, 1, 200], [0, 0, 1]]) @ matrix
        plane = sheet.outlines[0] if bend is None else bend.to_plane(sheet.outlines[0])
        canvas.lay(
            sheet,
            matrix,
            bend,
            [apply_homography(matrix, plane)],
        )
        boxes, _ = canvas.ground_truth()
        dark = (canvas.image.min(axis=2) < 128).astype(np.uint8)
        x, y, width, height = cv2.boundingRect(dark)
        seen = np.array([[x, y, x + width, y + height]], np.float32)
        overlap = float(iou_matrix(boxes, seen)[0, 0])
        # Light corner modules (aruco has none; a Data Matrix has its top right one) cut the hull.
        assert overlap > (0.85 if class_id == DATAMATRIX else 0.93), (attempt, boxes, seen)
        assert (boxes[0, :2] <= seen[0, :2] + 1.5).all()
        assert (boxes[0, 2:] >= seen[0, 2:] - 1.5).all()


def test_a_mostly_hidden_code_has_no_box() -> None:
    rng = np.random.default_rng(0)
    item = print_code(rng, random_code(rng, ARUCO), 100, PLAIN_INK)
    sheet = bare_sheet(item)
    cases = {}
    for covered in (0.3, 0.7):
        canvas = Canvas(np.full((200, 200, 3), 128, np.uint8), rng, 0.0)
        matrix = np.array([[1, 0, 20], [0, 1, 20], [0, 0, 1.0]])
        outline = sheet.outlines[0] + 20
        canvas.lay(sheet, matrix, None, [outline])
        left = int(outline[:, 0].min())
        canvas.owner[:, : left + int(100 * covered)] = 0
        cases[covered] = (left, canvas.ground_truth()[0])
    left, boxes = cases[0.3]
    assert boxes.shape == (1, 4)
    assert boxes[0, 0] == pytest.approx(left + 30, abs=1)  # what is hidden is cut off
    assert cases[0.7][1].shape == (0, 4)
    assert 0.3 < MIN_VISIBLE < 0.7
