"""Pictures as JPEG."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgessd.bench.frames import pattern_image
from edgessd.pipeline.jpeg import encode_jpeg


def test_a_picture_keeps_its_size_and_nearly_its_colors() -> None:
    picture = pattern_image(64, 48)
    found = cv2.imdecode(np.frombuffer(encode_jpeg(picture, 95), np.uint8), cv2.IMREAD_COLOR)
    assert found.shape == picture.shape
    assert np.abs(found.astype(int) - picture).mean() < 4


def test_a_lower_quality_takes_fewer_bytes() -> None:
    picture = pattern_image(64, 48)
    assert len(encode_jpeg(picture, 20)) < len(encode_jpeg(picture, 95))


def test_a_picture_that_no_jpeg_can_hold_is_refused() -> None:
    with pytest.raises(OSError, match="66000x1"):
        encode_jpeg(np.zeros((1, 66_000, 3), np.uint8), 90)
