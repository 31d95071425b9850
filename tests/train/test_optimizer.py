"""Parameter groups of the optimizer."""

from __future__ import annotations

import pytest

from edgessd.model.ssdlite import build_model
from edgessd.train.config import ModelSettings, OptimizeSettings
from edgessd.train.fit_anchors import detector_of
from edgessd.train.optimizer import make_optimizer, set_rates


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
