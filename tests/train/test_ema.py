"""The moving average of a model's weights and statistics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from edgessd.train.ema import MovingAverage


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


def test_the_average_follows_normalization_statistics():
    model = nn.BatchNorm2d(2)
    average = MovingAverage(model, decay=0.5, ramp=1)
    model(torch.randn(8, 2, 4, 4) + 5)
    average.update(model)
    assert average.model.running_mean.abs().sum() > 0
    assert average.model.num_batches_tracked == model.num_batches_tracked
