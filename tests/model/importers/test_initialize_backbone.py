"""Weights of every source compute their own function in the model that they initialize."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgessd.core.errors import CheckpointError, ConfigError
from edgessd.model.batch_norm import fold_batch_norm
from edgessd.model.checkpoint import checkpoint_of, save_checkpoint
from edgessd.model.importers.initialize_backbone import initialize_backbone
from edgessd.model.importers.published import PublishedFile
from edgessd.model.importers.torchvision_layout import PREPROCESS
from edgessd.model.new_detector import new_detector
from edgessd.model.ssdlite import SsdLite, build_model


def fresh(labels: tuple[str, ...] = ("a", "b"), width: float = 1.0) -> SsdLite:
    torch.manual_seed(1)
    return build_model(*new_detector(labels, width=width, input_size=(64, 64))).eval()


def features(model: SsdLite, images: Tensor) -> Tensor:
    with torch.inference_mode():
        return torch.cat([feature.flatten() for feature in model.backbone.eval()(images)])


def torchvision_state(model: SsdLite) -> dict[str, Tensor]:
    """Make a state dict in torchvision's layout, by its naming rules."""
    names = {"stem.conv": "0.0", "stem.norm": "0.1", "last.conv": "18.0", "last.norm": "18.1"}
    for index in range(17):
        parts = ("expand", "depthwise") if index else ("depthwise",)
        for place, part in enumerate(parts):
            names[f"blocks.{index}.{part}.conv"] = f"{index + 1}.conv.{place}.0"
            names[f"blocks.{index}.{part}.norm"] = f"{index + 1}.conv.{place}.1"
        names[f"blocks.{index}.project.conv"] = f"{index + 1}.conv.{len(parts)}"
        names[f"blocks.{index}.project.norm"] = f"{index + 1}.conv.{len(parts) + 1}"
    state = {}
    for name, tensor in model.backbone.state_dict().items():
        unit, leaf = name.rsplit(".", 1)
        state[f"features.{names[unit]}.{leaf}"] = tensor.clone()
    return state | {"classifier.1.weight": torch.zeros(1000, 1280)}


def set_statistics(model: SsdLite) -> None:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.running_mean, 0, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 2)
            module.eps = 1e-5


def test_a_folded_folder_keeps_its_function_in_both_modes(shared: Path) -> None:
    source = shared / "weights" / "mobilenet_v2_imagenet_tf"
    images = torch.rand(8, 3, 64, 64) * 2 - 1
    without = fresh()
    report = initialize_backbone(without, source)
    assert report.needs_norm_statistics
    assert set(report.skipped) == {"Logits/weight", "Logits/bias"}
    model = fresh()
    report = initialize_backbone(model, source, images)
    assert (report.calibrated_norms, report.needs_norm_statistics) == (52, False)
    evaluated = features(model, images)
    torch.testing.assert_close(evaluated, features(without, images), atol=1e-3, rtol=1e-3)
    with torch.no_grad():
        trained = torch.cat([feature.flatten() for feature in model.backbone.train()(images)])
    assert float((trained - evaluated).pow(2).mean().sqrt() / evaluated.std()) < 0.02


def test_a_folded_folder_has_the_weights_of_its_arrays(shared: Path) -> None:
    source = shared / "weights" / "mobilenet_v2_imagenet_tf"
    model = fresh()
    initialize_backbone(model, source)
    with np.load(source / "weights.npz") as arrays:
        weight, bias = (torch.from_numpy(arrays[f"Conv/{leaf}"]) for leaf in ("weight", "bias"))
    image = torch.rand(1, 3, 64, 64)
    padded = nn.functional.pad(image, (0, 1, 0, 1))
    expected = nn.functional.conv2d(padded, weight, bias, stride=2).clamp(0, 6)
    with torch.inference_mode():
        torch.testing.assert_close(model.backbone.stem(image), expected, atol=1e-4, rtol=1e-4)


def test_torchvisions_layout_keeps_its_function_with_our_normalization(tmp_path: Path) -> None:
    source = fresh(width=0.35)
    set_statistics(source)
    path = tmp_path / "mobilenet_v2.pth"
    torch.save(torchvision_state(source), path)
    model = fresh(("x", "y", "z"), width=0.35)
    report = initialize_backbone(model, path)
    assert report.skipped == ("classifier.1.weight",)
    assert not report.needs_norm_statistics
    pixels = torch.randint(0, 256, (1, 3, 64, 64)).float()
    theirs = (pixels - torch.tensor(PREPROCESS.mean).view(3, 1, 1)) / torch.tensor(
        PREPROCESS.std
    ).view(3, 1, 1)
    ours = (pixels - 127.5) / 127.5
    with torch.inference_mode():
        expected, found = source.backbone.stem(theirs), model.backbone.stem(ours)
        # Zeros after the last row and column stand for another color, so the border differs.
        torch.testing.assert_close(
            found[..., :-1, :-1], expected[..., :-1, :-1], atol=1e-4, rtol=1e-4
        )
        middle = torch.randn(1, expected.shape[1], 32, 32).clamp(0, 6)
        for ours_block, theirs_block in zip(
            model.backbone.blocks, source.backbone.blocks, strict=True
        ):
            left, right = ours_block(middle), theirs_block(middle)
            torch.testing.assert_close(left, right, atol=1e-4, rtol=1e-3)
            middle = right


def test_a_checkpoint_gives_all_weights_but_the_class_predictors(tmp_path: Path) -> None:
    source = fresh(("a", "b"), width=0.35)
    set_statistics(source)
    path = tmp_path / "source.pt"
    save_checkpoint(path, checkpoint_of(fold_batch_norm(source)))
    model = fresh(("x", "y", "z"), width=0.35)
    images = torch.randn(8, 3, 64, 64)
    report = initialize_backbone(model, path, images)
    assert {name.split(".", 2)[2] for name in report.skipped} == {
        "score.pointwise.weight",
        "score.pointwise.bias",
    }
    with torch.inference_mode():
        torch.testing.assert_close(
            model.eval()(images)[0], source.eval()(images)[0], atol=1e-3, rtol=1e-3
        )


def test_unusable_weights_are_refused(shared: Path, tmp_path: Path) -> None:
    folder = shared / "weights" / "mobilenet_v2_imagenet_tf"
    with pytest.raises(CheckpointError, match=r"another width.*--weights none"):
        initialize_backbone(fresh(width=1.4), folder)
    with pytest.raises(ConfigError, match="batch norm is folded"):
        initialize_backbone(fold_batch_norm(fresh(width=0.35)), folder)
    with pytest.raises(CheckpointError, match="There is no file"):
        initialize_backbone(fresh(width=0.35), tmp_path / "absent.pth")
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "resnet.pth")
    with pytest.raises(CheckpointError, match=r"holds no backbone.*conv1\.weight"):
        initialize_backbone(fresh(width=0.35), tmp_path / "resnet.pth")
    state = torchvision_state(fresh(width=0.35))
    del state["features.7.conv.1.1.running_mean"]
    torch.save(state, tmp_path / "hole.pth")
    with pytest.raises(CheckpointError, match=r"features\.7\.conv\.1\.1\.running_mean"):
        initialize_backbone(fresh(width=0.35), tmp_path / "hole.pth")


def test_imagenet_is_the_published_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is in the cache, as after a first download."""
    monkeypatch.setenv("EDGESSD_CACHE", str(tmp_path))
    torch.save(torchvision_state(fresh(width=0.35)), tmp_path / "weights.pth")
    content = (tmp_path / "weights.pth").read_bytes()
    file = PublishedFile(
        url="http://127.0.0.1:9/weights.pth",
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
    )
    monkeypatch.setattr("edgessd.model.importers.initialize_backbone.MOBILENET_V2_IMAGENET", file)
    report = initialize_backbone(fresh(width=0.35), "imagenet")
    assert report.source == "imagenet"
    assert len(report.loaded) == 52 * 6
