"""Initialize the weights of a new network."""

from __future__ import annotations

import math

import torch
from torch import nn

from edgessd.core.contract import Scoring
from edgessd.model.heads import Predictor

# Assumed fraction of anchors with an object. Initial scores near the ratio that hard negative mining
# produces spare the first batches from learning that most anchors are background.
FOREGROUND_PRIOR = 0.1
SIGMOID_PRIOR = 0.01  # Without mining, every anchor counts (section 4.1 of arXiv:1708.02002).


def initialize_fresh(model: nn.Module, scoring: Scoring) -> None:
    """Initialize convolutions by Kaiming-normal and predictors by normal(0, 0.03).

    The score predictors' bias encodes the prior. Batch norm keeps the identity. The predictors'
    deviation is that of TensorFlow's SSDLite configurations.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for name, module in model.named_modules():
        if isinstance(module, Predictor):
            nn.init.trunc_normal_(module.pointwise.weight, std=0.03, a=-0.06, b=0.06)
            if name.endswith(".score"):
                _set_score_prior(module, scoring)


@torch.no_grad()
def _set_score_prior(predictor: Predictor, scoring: Scoring) -> None:
    bias = predictor.pointwise.bias
    assert bias is not None
    by_anchor = bias.view(-1, predictor.values)  # (K * C) → (K, C)
    if scoring.activation == "sigmoid":
        by_anchor.fill_(math.log(SIGMOID_PRIOR / (1 - SIGMOID_PRIOR)))
    elif scoring.background:
        odds = (1 - FOREGROUND_PRIOR) / FOREGROUND_PRIOR
        by_anchor[:, 0] = math.log(odds * max(1, predictor.values - 1))
