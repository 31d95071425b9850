"""Distractors look like codes, and no reader takes one for a code."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
import zxingcpp

from edgessd.data.synth.distractors import MAKERS, foreign_code

# Foreign codes are real codes, of symbologies that are none of the classes.
UNREADABLE = [maker for maker in MAKERS if maker is not foreign_code]


@pytest.mark.parametrize("maker", UNREADABLE, ids=lambda maker: maker.__name__)
def test_no_reader_finds_a_code_in_a_distractor(
    maker: Callable[[np.random.Generator, int], np.ndarray],
) -> None:
    for seed in range(6):
        image = np.ascontiguousarray(maker(np.random.default_rng(seed), 200))
        framed = cv2.copyMakeBorder(image, 40, 40, 40, 40, cv2.BORDER_CONSTANT, value=(255,) * 3)
        assert [b.format for b in zxingcpp.read_barcodes(framed)] == []
