"""Boxes of one image, checked, clipped and turned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgessd.core.images import ImageHeader, read_header
from edgessd.data.objects import header_or_none, make_image, turn_boxes
from edgessd.data.problems import ProblemLog


@pytest.fixture
def header(photos: Path) -> ImageHeader:
    return read_header(photos / "00.png")  # 120x90


def _kinds(log: ProblemLog) -> dict[str, int]:
    return {problem.kind: problem.count for problem in log.problems()}


def test_boxes_that_cannot_be_used_are_left_out_and_noted(
    header: ImageHeader, tmp_path: Path
) -> None:
    log = ProblemLog(tmp_path)
    boxes = [
        (10, 10, 20, 30),
        (10, 10, 20, 30),  # repeated
        (5, 5, 5, 9),  # no width
        (130, 10, 150, 30),  # outside
        (100, 50, 125, 80),  # partly outside
        (100, 50, 120.5, 80),  # half a pixel outside: rounding
    ]
    image = make_image(tmp_path / "a.png", header, boxes, range(6), [False] * 6, log)
    assert image.class_ids.tolist() == [0, 1, 4, 5]
    assert image.boxes[2:].tolist() == [[100, 50, 120, 80]] * 2
    assert _kinds(log) == {"degenerate_box": 1, "lost_box": 1, "outside_box": 1}
    again = ProblemLog(tmp_path)
    same = make_image(tmp_path / "a.png", header, boxes[:2], (0, 0), (False, False), again)
    assert len(same.boxes) == 1
    assert _kinds(again) == {"repeated_box": 1}


def test_another_size_in_the_annotation_is_noted(header: ImageHeader, tmp_path: Path) -> None:
    log = ProblemLog(tmp_path)
    make_image(tmp_path / "a.png", header, [], [], [], log, stated_size=(90, 120))
    assert _kinds(log) == {"size_mismatch": 1}


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_turn_with_the_pixels(orientation: int) -> None:
    """Turn a picture with one lit box as EXIF defines it, and find the box again."""
    stored = np.zeros((6, 4), bool)  # height, width
    stored[1:3, 0:3] = True
    turned = {
        5: stored.T,
        6: np.rot90(stored, -1),
        7: np.rot90(stored, -1)[::-1],
        8: np.rot90(stored, 1),
    }[orientation]
    height, width = turned.shape
    there = ImageHeader(width=width, height=height, orientation=orientation)
    found = turn_boxes(np.array([[0.0, 1.0, 3.0, 3.0]]), there)[0]
    rows, columns = np.nonzero(turned)
    lit = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert found.tolist() == lit


def test_a_broken_header_is_noted(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"text")
    log = ProblemLog(tmp_path)
    assert header_or_none(tmp_path / "a.png", log) is None
    assert _kinds(log) == {"broken_image": 1}
