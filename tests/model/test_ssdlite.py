"""The network: shapes, size, frozen batch norm."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch

from edgessd.core.anchors import anchor_boxes
from edgessd.core.errors import ConfigError
from edgessd.model.config import feature_sizes
from edgessd.model.new_detector import new_detector
from edgessd.model.ssdlite import build_model, parameter_count

LABELS = ("cat", "dog", "bird")


@pytest.mark.parametrize(
    ("size", "levels"),
    [((300, 300), 6), ((320, 320), 6), ((96, 64), 4), ((640, 480), 6), ((33, 65), 4)],
)
@pytest.mark.parametrize("stride_8", [False, True])
def test_outputs_follow_the_contract(size: tuple[int, int], levels: int, stride_8: bool) -> None:
    config, contract = new_detector(LABELS, width=0.35, input_size=size, stride_8=stride_8)
    model = build_model(config, contract).eval()
    assert config.levels == min(6, levels + int(stride_8))
    with torch.inference_mode():
        box_codes, class_scores = model(torch.rand(1, 3, size[1], size[0]))
    anchors = anchor_boxes(contract.anchors)
    assert box_codes.shape == (1, len(anchors), 4)
    assert class_scores.shape == (1, len(anchors), len(LABELS) + 1)
    assert np.all((anchors[:, :2] > 0) & (anchors[:, :2] < 1))


def test_standard_detector_has_the_papers_maps_and_size() -> None:
    config, contract = new_detector(tuple(f"class {index}" for index in range(80)))
    assert feature_sizes(config, 300, 300) == ((19, 19), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1))
    assert contract.anchors.count == 19 * 19 * 3 + (100 + 25 + 9 + 4 + 1) * 6
    # Table 6 of arXiv:1801.04381 has 4.3 million for 80 classes.
    assert parameter_count(build_model(config, contract)) == pytest.approx(4.3e6, rel=0.1)


def test_frozen_backbone_norm_stays_frozen_in_training() -> None:
    config, contract = new_detector(LABELS, width=0.35, input_size=(64, 64))
    model = build_model(config, contract)
    model.freeze_backbone_norm()
    before = {name: tensor.clone() for name, tensor in model.named_buffers()}
    model.train()(torch.randn(4, 3, 64, 64))
    moved = {
        name.split(".")[0]
        for name, tensor in model.named_buffers()
        if name.endswith("running_mean") and not torch.equal(tensor, before[name])
    }
    assert moved == {"extras", "heads"}
    assert not model.backbone.stem.norm.weight.requires_grad


def test_anchors_of_another_grid_are_refused() -> None:
    config, contract = new_detector(LABELS, input_size=(300, 300))
    smaller = msgspec.structs.replace(contract.preprocess, width=256)
    contract = msgspec.structs.replace(contract, preprocess=smaller)
    with pytest.raises(ConfigError, match="don't fit the network's feature maps"):
        build_model(config, contract)
