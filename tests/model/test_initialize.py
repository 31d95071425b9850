"""Scores of a new network start near their prior."""

from __future__ import annotations

import pytest
import torch

from edgessd.model.new_detector import new_detector
from edgessd.model.ssdlite import build_model

LABELS = ("cat", "dog", "bird")


def test_fresh_scores_start_near_the_prior() -> None:
    for scoring, expected in (("softmax", 0.1), ("sigmoid", 0.01)):
        torch.manual_seed(0)
        config, contract = new_detector(LABELS, width=0.35, input_size=(64, 64), scoring=scoring)
        model = build_model(config, contract).train()
        scores = model(torch.randn(8, 3, 64, 64))[1].detach()
        softmax = scoring == "softmax"
        foreground = 1 - scores.softmax(-1)[..., 0] if softmax else scores.sigmoid()
        assert float(foreground.median()) == pytest.approx(expected, rel=0.5)
