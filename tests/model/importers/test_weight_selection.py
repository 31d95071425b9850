"""Weight selection takes evenly spaced elements, and connected layers keep the same channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from edgessd.model.importers.initialize_backbone import initialize_backbone
from edgessd.model.importers.weight_selection import can_select, select_weights
from edgessd.model.new_detector import new_detector
from edgessd.model.ssdlite import build_model


def test_evenly_spaced_elements_are_taken() -> None:
    assert select_weights(torch.arange(6.0), (3,)).tolist() == [0, 2, 4]
    assert select_weights(torch.arange(5.0), (2,)).tolist() == [0, 2]
    assert select_weights(torch.arange(4.0), (4,)).tolist() == [0, 1, 2, 3]


def test_sums_over_half_the_inputs_count_twice() -> None:
    wide = torch.ones(4, 8, 1, 1)
    thin = select_weights(wide, (2, 4, 1, 1))
    assert thin.shape == (2, 4, 1, 1)
    assert (thin == 2).all()
    # A depthwise filter has one input at any width.
    assert (select_weights(torch.ones(8, 1, 3, 3), (4, 1, 3, 3)) == 1).all()


def test_channels_stay_connected_from_layer_to_layer() -> None:
    torch.manual_seed(0)
    first, second = torch.randn(12, 3, 1, 1), torch.randn(7, 12, 1, 1)
    kept = [0, 2, 4, 7, 9]  # floor(i * 12 / 5)
    thin_first = select_weights(first, (5, 3, 1, 1))
    thin_second = select_weights(second, (7, 5, 1, 1))
    assert torch.equal(thin_first, first[kept])
    assert torch.equal(thin_second, second[:, kept] * (12 / 5))


def test_only_a_smaller_shape_of_the_same_kind_can_be_selected() -> None:
    wide = torch.ones(8, 4)
    assert can_select(wide, (8, 2))
    assert not can_select(wide, (9, 2))
    assert not can_select(wide, (8,))


def test_a_thin_backbone_is_initialized_from_a_wide_one(shared: Path) -> None:
    torch.manual_seed(3)
    thin = build_model(*new_detector(("a",), width=0.35, input_size=(64, 64)))
    images = torch.rand(8, 3, 64, 64) * 2 - 1
    report = initialize_backbone(thin, shared / "weights/mobilenet_v2_imagenet_tf", images)
    wide = np.load(shared / "weights/mobilenet_v2_imagenet_tf/weights.npz")["Conv/weight"]
    kept = thin.backbone.state_dict()["stem.conv.weight"]
    assert torch.equal(kept, select_weights(torch.from_numpy(wide), tuple(kept.shape)))
    assert "backbone.stem.conv.weight" in report.thinned
    assert report.calibrated_norms == 52
    assert not report.needs_norm_statistics
    # The signal lives to the end: neither dead nor blown up.
    with torch.inference_mode():
        last = thin.backbone.eval()(images)[-1]
    assert 0.01 < float(last.std()) < 100
