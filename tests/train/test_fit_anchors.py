"""Anchors fit the boxes of a dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgessd.core.errors import ConfigError
from edgessd.metrics.ground_truth import LabeledImage
from edgessd.train.config import ModelSettings
from edgessd.train.fit_anchors import detector_of, fit_anchors


def photo(side: float, count: int = 40) -> LabeledImage:
    rng = np.random.default_rng(int(side))
    corners = rng.uniform(0, 300 - side, (count, 2))
    return LabeledImage(
        path=Path("photo.jpg"),
        width=300,
        height=300,
        boxes=np.concatenate([corners, corners + side], axis=1).astype(np.float32),
        class_ids=np.zeros(count, np.int64),
        ignore=np.zeros(count, np.bool_),
    )


@pytest.mark.parametrize(("side", "stride_8"), [(20, True), (120, False)])
def test_only_small_boxes_get_a_head_at_stride_8(side: float, stride_8: bool):
    fitted = fit_anchors(ModelSettings(), ("thing",), [photo(side)])
    assert fitted.settings.stride_8 is stride_8
    assert fitted.settings.anchors == "given"
    assert fitted.reach > 0.95
    _, default = detector_of(ModelSettings(), ("thing",))
    _, chosen = detector_of(fitted.settings, ("thing",))
    assert chosen.anchors.count != default.anchors.count or side == 120


def test_anchors_of_a_dataset_without_boxes_are_refused():
    with pytest.raises(ConfigError, match="without boxes"):
        fit_anchors(ModelSettings(), ("thing",), [photo(20, count=0)])
