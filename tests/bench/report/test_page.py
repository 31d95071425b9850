"""Pictures and templates of the report."""

from __future__ import annotations

import base64

import cv2
import jinja2
import numpy as np
import pytest

from edgessd.bench.frames import pattern_image
from edgessd.bench.report.page import picture_url, render_template
from edgessd.core.detections import Detections


def _detections() -> Detections:
    return Detections(
        boxes=np.array([[10, 10, 200, 150]], np.float32),
        scores=np.array([0.9], np.float32),
        class_ids=np.zeros(1, np.int64),
        labels=("cat",),
    )


def test_a_picture_becomes_a_jpeg_of_limited_width() -> None:
    url = picture_url(pattern_image(640, 480), _detections(), width=320)
    kind, _, content = url.partition(",")
    assert kind == "data:image/jpeg;base64"
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (240, 320, 3)


def test_a_template_without_its_values_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        render_template("page.html")
