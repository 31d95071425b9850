"""The network: channel and size arithmetic, padding, shapes, fresh weights."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch

from edgessd.core.anchors import anchor_boxes
from edgessd.core.errors import ConfigError
from edgessd.model.backbones.mobilenet_v2 import block_channels, widths_that_fit
from edgessd.model.config import (
    Extra,
    ModelConfig,
    feature_sizes,
    last_channels,
    scaled_channels,
)
from edgessd.model.heads import Predictor
from edgessd.model.layers import pad_same, same_padding
from edgessd.model.new_detector import new_detector
from edgessd.model.ssdlite import build_model, parameter_count

LABELS = ("cat", "dog", "bird")


@pytest.mark.parametrize(
    ("channels", "width", "expected"),
    [
        (32, 1.0, 32),
        (24, 0.35, 8),  # 8.4 → 8
        (32, 0.35, 16),  # 11.2 → 8 would lose more than 10%, so 16
        (16, 0.35, 8),  # 5.6 → 8
        (24, 0.75, 24),  # 18 → 16 would lose 11%
        (96, 1.4, 136),  # 134.4
    ],
)
def test_channels_round_to_eighths_and_lose_at_most_a_tenth(
    channels: int, width: float, expected: int
) -> None:
    assert scaled_channels(channels, width) == expected


def test_last_layer_grows_only_above_width_one() -> None:
    assert [last_channels(width) for width in (0.35, 1.0, 1.4)] == [1280, 1280, 1792]


def test_same_padding_is_tensorflows() -> None:
    assert same_padding(300, 3, 2) == (0, 1)
    assert same_padding(75, 3, 2) == (1, 1)
    assert same_padding(19, 3, 1) == (1, 1)
    assert same_padding(1, 3, 2) == (1, 1)


def test_same_padded_stride_2_reads_the_pixels_that_tensorflow_reads() -> None:
    image = torch.arange(16.0).view(1, 1, 4, 4)
    first_of_each_window = torch.zeros(1, 1, 3, 3)
    first_of_each_window[0, 0, 0, 0] = 1
    out = torch.nn.functional.conv2d(pad_same(image, 3, 2), first_of_each_window, stride=2)
    # Nothing stands before row and column 0, so windows begin on pixels 0 and 2.
    assert out.flatten().tolist() == [0, 2, 8, 10]


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


@pytest.mark.parametrize("width", [0.35, 0.5, 0.75, 1.0, 1.3, 1.4])
@pytest.mark.parametrize("multiple", [8, 1])
def test_width_is_found_from_shapes(width: float, multiple: int) -> None:
    channels = block_channels(width, multiple)
    shapes = {"stem.conv.weight": (channels[0], 3, 3, 3)}
    for index, count in enumerate(channels[1:]):
        shapes[f"blocks.{index}.project.conv.weight"] = (count, 1, 1, 1)
    fit = widths_that_fit(shapes)
    assert fit is not None
    assert block_channels(*fit) == channels
    shapes["blocks.3.project.conv.weight"] = (7, 1, 1, 1)
    assert widths_that_fit(shapes) is None


def test_standard_detector_has_the_papers_maps_and_size() -> None:
    config, contract = new_detector(tuple(f"class {index}" for index in range(80)))
    assert feature_sizes(config, 300, 300) == ((19, 19), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1))
    assert contract.anchors.count == 19 * 19 * 3 + (100 + 25 + 9 + 4 + 1) * 6
    # Table 6 of arXiv:1801.04381 has 4.3 million for 80 classes.
    assert parameter_count(build_model(config, contract)) == pytest.approx(4.3e6, rel=0.1)


def test_predictions_come_cell_by_cell_then_anchor_by_anchor() -> None:
    config, _ = new_detector(LABELS)
    predictor = Predictor(1, anchors=2, values=3, kind="pointwise", config=config)
    with torch.no_grad():
        predictor.pointwise.weight[:, 0, 0, 0] = torch.arange(1.0, 7.0)
        predictor.pointwise.bias.zero_()
    feature = torch.zeros(1, 1, 2, 5)
    feature[0, 0, 1, 3] = 1  # row 1, column 3 of 5: cell 8, so anchors 16 and 17
    rows = predictor(feature)[0]
    assert rows.shape == (20, 3)
    assert rows[16].tolist() == [1, 2, 3]
    assert rows[17].tolist() == [4, 5, 6]
    assert torch.count_nonzero(rows) == 6


def test_fresh_scores_start_near_the_prior() -> None:
    for scoring, expected in (("softmax", 0.1), ("sigmoid", 0.01)):
        torch.manual_seed(0)
        config, contract = new_detector(LABELS, width=0.35, input_size=(64, 64), scoring=scoring)
        model = build_model(config, contract).train()
        scores = model(torch.randn(8, 3, 64, 64))[1].detach()
        softmax = scoring == "softmax"
        foreground = 1 - scores.softmax(-1)[..., 0] if softmax else scores.sigmoid()
        assert float(foreground.median()) == pytest.approx(expected, rel=0.5)


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


def test_anchors_that_stand_elsewhere_are_refused() -> None:
    config, contract = new_detector(LABELS, input_size=(300, 300))
    smaller = msgspec.structs.replace(contract.preprocess, width=256)
    contract = msgspec.structs.replace(contract, preprocess=smaller)
    with pytest.raises(ConfigError, match="don't stand on the network's feature maps"):
        build_model(config, contract)


@pytest.mark.parametrize(
    "change",
    [
        {"width": 5.0},
        {"channel_multiple": 0},
        {"heads": ("separable",)},
        {"extras": (Extra(squeeze=8, channels=8),)},
    ],
)
def test_contradictory_configs_are_refused(change: dict[str, object]) -> None:
    config, _ = new_detector(LABELS)
    fields = msgspec.structs.asdict(config)
    with pytest.raises(ConfigError):
        ModelConfig(**(fields | change))


def test_recipe_refuses_what_it_cannot_make() -> None:
    with pytest.raises(ConfigError, match="too small"):
        new_detector(LABELS, input_size=(300, 16))
    with pytest.raises(ConfigError, match="scales"):
        new_detector(LABELS, scales=(0.5, 0.4, 0.6, 0.7, 0.8, 0.9))
    with pytest.raises(ConfigError, match="scales"):
        new_detector(LABELS, scales=(0.1, 0.2))


def test_smaller_scales_and_six_first_anchors() -> None:
    _, contract = new_detector(LABELS, min_scale=0.08, first_anchors=6)
    assert contract.anchors.shapes_per_level == (6,) * 6
    assert min(side for shape in contract.anchors.levels[0].shapes for side in shape) < 0.08
