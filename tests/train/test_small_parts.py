"""Schedule, moving average, number form, settings, anchors and the optimizer's groups."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgessd.core.contract import Preprocess
from edgessd.core.errors import ConfigError
from edgessd.core.preprocess import fill_tensor
from edgessd.core.tensors import TensorSpec
from edgessd.metrics.ground_truth import LabeledImage
from edgessd.model.ssdlite import build_model
from edgessd.train.config import (
    ModelSettings,
    OptimizeSettings,
    TrainConfig,
    load_config,
    merge,
    preset_names,
    read_preset,
    read_settings,
    save_config,
)
from edgessd.train.ema import MovingAverage
from edgessd.train.fit_anchors import detector_of, fit_anchors
from edgessd.train.loop import Normalize
from edgessd.train.optimizer import make_optimizer, set_rates
from edgessd.train.precision import choose_device, choose_precision, has_cpu_bfloat16
from edgessd.train.schedule import Schedule


def test_the_rate_rises_to_its_peak_and_falls_to_its_end():
    schedule = Schedule(warmup_steps=10, final=0.1)
    factors = [schedule.factor(step=step, progress=step / 100) for step in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[:10] == sorted(factors[:10])
    assert factors[9:] == sorted(factors[9:], reverse=True)
    assert schedule.factor(step=50, progress=0.5) == pytest.approx(0.55)
    assert factors[-1] == pytest.approx(0.1)
    assert Schedule(warmup_steps=0, final=0).factor(step=0, progress=0) == 1


def test_the_average_forgets_its_start_and_then_moves_slowly():
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 100.0)
    average = MovingAverage(model, decay=0.9, ramp=1)
    nn.init.constant_(model.weight, 0.0)
    # Decay of update n is 0.9 * (1 - exp(-n)).
    average.update(model)
    first = 100 * 0.9 * (1 - np.exp(-1))
    assert average.model.weight.item() == pytest.approx(first, rel=1e-5)
    average.update(model)
    assert average.model.weight.item() == pytest.approx(first * 0.9 * (1 - np.exp(-2)), rel=1e-5)
    for _ in range(200):
        average.update(model)
    assert abs(average.model.weight.item()) < 1e-4


def test_the_average_follows_normalisation_statistics():
    model = nn.BatchNorm2d(2)
    average = MovingAverage(model, decay=0.5, ramp=1)
    model(torch.randn(8, 2, 4, 4) + 5)
    average.update(model)
    assert average.model.running_mean.abs().sum() > 0
    assert average.model.num_batches_tracked == model.num_batches_tracked


@pytest.mark.parametrize(
    ("flags", "has"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_bf16 amx_bf16", True),
        ("flags\t\t: fpu avx2 avx512f avx512_vnni", False),
        ("Features\t: fp asimd bf16", True),
        ("model name\t: a processor", False),
    ],
)
def test_bfloat16_only_where_the_processor_has_it(tmp_path: Path, flags: str, has: bool):
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{flags}\n")
    assert has_cpu_bfloat16(tmp_path / "cpuinfo") is has
    assert not has_cpu_bfloat16(tmp_path / "absent")


def test_a_named_precision_is_kept():
    assert choose_precision("bfloat16", torch.device("cpu")) == "bfloat16"
    assert choose_precision("float32", torch.device("cpu")) == "float32"


def test_an_unknown_device_is_refused():
    with pytest.raises(ConfigError, match="Unknown device"):
        choose_device("abacus")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_without_cuda_is_refused():
    with pytest.raises(ConfigError, match="no CUDA"):
        choose_device("cuda")


def test_training_normalises_as_every_other_stage_does():
    preprocess = Preprocess(width=5, height=4, mean=(120.0, 110.0, 100.0), std=(58.0, 57.0, 56.0))
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    spec = TensorSpec(name="image", shape=(1, 3, 4, 5), dtype="float32", layout="NCHW")
    images = Normalize(preprocess, torch.device("cpu"))(torch.from_numpy(pixels[None]))
    assert images.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(images.numpy(), fill_tensor(pixels, preprocess, spec), atol=1e-6)


def test_settings_survive_their_file(tmp_path: Path):
    config = merge({"model": {"width": 0.5, "scales": [0.1, 0.2]}, "data": {"path": "cells"}})
    save_config(tmp_path / "config.toml", config)
    assert load_config(tmp_path / "config.toml") == config
    assert "ema_decay" in (tmp_path / "config.toml").read_text()


def test_the_later_layer_wins():
    config = merge({"optimize": {"lr": 0.1, "batch": 8}}, {"optimize": {"lr": 0.2}})
    assert (config.optimize.lr, config.optimize.batch) == (0.2, 8)


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_holds(name: str):
    assert isinstance(merge(read_preset(name)), TrainConfig)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"optimize": {"learning_rate": 1}}, "learning_rate"),
        ({"optimise": {"lr": 1}}, "optimise"),
        ({"lr": 1}, "outside a section"),
        ({"optimize": {"lr": -1.0}}, "positive"),
        ({"optimize": {"batch": 0}}, "batch"),
        ({"optimize": {"ema_decay": 1.0}}, "ema_decay"),
        ({"machine": {"precision": "int8"}}, "precision"),
    ],
)
def test_wrong_settings_are_refused_by_name(tables: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        merge(tables)


def test_broken_and_missing_settings_files_are_refused(tmp_path: Path):
    (tmp_path / "broken.toml").write_text("[optimize\nlr = 1")
    with pytest.raises(ConfigError, match="isn't valid TOML"):
        read_settings(tmp_path / "broken.toml")
    with pytest.raises(ConfigError, match="missing"):
        read_settings(tmp_path / "absent.toml")
    with pytest.raises(ConfigError, match="no such preset"):
        read_preset("huge-dataset")


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
def test_small_boxes_get_small_anchors_and_large_ones_a_light_head(side: float, stride_8: bool):
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


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_norms_and_biases_are_not_decayed_and_the_backbone_has_its_rate(kind: str):
    model = build_model(*detector_of(ModelSettings(width=0.1, input_size=(64, 64)), ("a",)))
    settings = OptimizeSettings(optimizer=kind, weight_decay=0.1)
    optimizer = make_optimizer(model, settings, backbone_lr=0.5)
    set_rates(optimizer, 0.01)
    named = {id(parameter): name for name, parameter in model.named_parameters()}
    count = 0
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            name = named[id(parameter)]
            assert group["lr"] == (0.005 if name.startswith("backbone.") else 0.01)
            assert group["weight_decay"] == (0.1 if parameter.ndim > 1 else 0)
            count += 1
    assert count == len(named)
