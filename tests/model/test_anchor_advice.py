"""Suggested anchors reach more boxes, and nothing is suggested without a gain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgessd.core.errors import ConfigError
from edgessd.data.dataset import load_dataset
from edgessd.data.reach import anchor_reach, boxes_at_input, total_share
from edgessd.metrics.ground_truth import LabeledImage
from edgessd.model.anchor_advice import AnchorSettings, advise, anchors_for


def _images(side: float) -> list[LabeledImage]:
    """Make a 300x300 image with square boxes of `side` pixels at random places."""
    starts = np.random.default_rng(0).uniform(0, 300 * (1 - side), (50, 2))
    boxes = np.concatenate([starts, starts + 300 * side], axis=1).astype(np.float32)
    return [
        LabeledImage(
            path=Path("squares.png"),
            width=300,
            height=300,
            boxes=boxes,
            class_ids=np.zeros(50, np.int64),
            ignore=np.zeros(50, np.bool_),
        )
    ]


def test_no_advice_if_the_standard_reaches_all_boxes() -> None:
    preprocess, _ = anchors_for(AnchorSettings(), (300, 300), "stretch")
    assert advise(_images(0.5), AnchorSettings(), preprocess) is None


def test_small_boxes_get_smaller_anchors() -> None:
    preprocess, standard = anchors_for(AnchorSettings(), (300, 300), "stretch")
    images = _images(0.08)
    assert total_share(anchor_reach(boxes_at_input(images, preprocess), standard, preprocess)) == 0
    advice = advise(images, AnchorSettings(), preprocess)
    assert advice is not None
    assert total_share(advice.reach) > 0.95
    _, anchors = anchors_for(advice.settings, (300, 300), "stretch")
    assert anchors.count == advice.anchors


def test_advice_for_bccd_reaches_the_platelets(shared: Path) -> None:
    images = load_dataset(shared / "data" / "bccd").split("all")
    preprocess, _ = anchors_for(AnchorSettings(), (300, 300), "stretch")
    advice = advise(images, AnchorSettings(), preprocess)
    assert advice is not None
    small, medium, large = advice.reach
    assert min(small.share, medium.share, large.share) > 0.9


def test_settings_as_config_lines() -> None:
    assert AnchorSettings().name == "standard"
    assert AnchorSettings(min_scale=0.1, stride_8=True).lines == (
        "min_scale = 0.1",
        "max_scale = 0.95",
        "stride_8 = true",
    )
    assert AnchorSettings(scales=(0.1, 0.25), first_anchors=6).lines == (
        "scales = [0.1, 0.25]",
        "first_anchors = 6",
    )


def test_refuses_impossible_settings() -> None:
    with pytest.raises(ConfigError, match="scales"):
        anchors_for(AnchorSettings(scales=(0.1,)), (300, 300), "stretch")
