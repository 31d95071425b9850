"""Folding, unfolding and calibrating batch norm keep the network's function."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgessd.model.batch_norm import calibrate_batch_norm, fold_batch_norm, unfold_state
from edgessd.model.config import BatchNorm
from edgessd.model.new_detector import new_detector
from edgessd.model.ssdlite import SsdLite, build_model


@pytest.fixture
def model() -> SsdLite:
    """Make a small network whose batch norms are far from the identity."""
    torch.manual_seed(3)
    config, contract = new_detector(("a", "b"), width=0.35, input_size=(64, 64))
    model = build_model(config, contract)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0.3, 0.5)
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.running_mean, 0, 0.5)
            nn.init.uniform_(module.running_var, 0.2, 3)
    return model.eval()


def outputs(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return torch.cat([output.flatten() for output in model(images)])


def test_folding_keeps_the_function(model: SsdLite) -> None:
    images = torch.randn(2, 3, 64, 64)
    folded = fold_batch_norm(model)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert folded.config.batch_norm is None
    assert model.config.batch_norm is not None
    torch.testing.assert_close(
        outputs(folded, images), outputs(model, images), atol=1e-4, rtol=1e-4
    )


def test_unfolding_keeps_the_function(model: SsdLite) -> None:
    images = torch.randn(2, 3, 64, 64)
    norm = BatchNorm()
    again = build_model(model.config, model.contract).eval()
    again.load_state_dict(unfold_state(fold_batch_norm(model).state_dict(), norm))
    torch.testing.assert_close(outputs(again, images), outputs(model, images), atol=1e-4, rtol=1e-4)


def test_calibration_makes_training_mode_equal_evaluation_mode(model: SsdLite) -> None:
    images = torch.randn(24, 3, 64, 64)
    unfolded = build_model(model.config, model.contract).eval()
    unfolded.load_state_dict(unfold_state(fold_batch_norm(model).state_dict(), BatchNorm()))
    before = outputs(unfolded, images)

    def training_error() -> float:
        state = {name: tensor.clone() for name, tensor in unfolded.state_dict().items()}
        unfolded.train()
        error = (outputs(unfolded, images) - before).pow(2).mean().sqrt() / before.std()
        unfolded.load_state_dict(state)
        unfolded.eval()
        return float(error)

    assert training_error() > 0.5  # batch statistics against mean 0, variance 1: another network
    settled = calibrate_batch_norm(unfolded, images, batch_size=7)
    assert settled == sum(isinstance(module, nn.BatchNorm2d) for module in unfolded.modules())
    torch.testing.assert_close(outputs(unfolded, images), before, atol=1e-4, rtol=1e-4)
    assert training_error() < 0.01


def test_calibration_restores_training_mode_and_accepts_dead_channels(model: SsdLite) -> None:
    stem = model.backbone.stem.conv
    with torch.no_grad():
        stem.weight[0] = 0  # its batch norm sees no variance at all
    images = torch.randn(4, 3, 64, 64)
    before = outputs(model, images)
    model.train()
    calibrate_batch_norm(model, images)
    assert model.training
    assert not any(module._forward_pre_hooks for module in model.modules())
    torch.testing.assert_close(outputs(model.eval(), images), before, atol=1e-4, rtol=1e-4)
