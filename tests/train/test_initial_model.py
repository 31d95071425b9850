"""Initial models: from random weights, and from detectors with equal or other labels."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from block_scenes import LABELS

from edgessd.core.errors import CheckpointError
from edgessd.model.checkpoint import load_checkpoint
from edgessd.train.config import ModelSettings
from edgessd.train.initial_model import make_initial_model

pytestmark = pytest.mark.slow

SCORE, BOX = "heads.0.score.pointwise.weight", "heads.0.box.pointwise.weight"


def test_random_weights_need_no_statistics():
    settings = ModelSettings(weights="none", width=0.1, input_size=(64, 64), anchors="given")
    initial = make_initial_model(settings, LABELS, ())
    assert (initial.loaded_backbone, initial.without_statistics) == (False, None)
    assert initial.provenance == {"weights": "none"}
    assert initial.model.contract.labels == LABELS


def test_a_detector_with_the_same_labels_keeps_all_weights(straight: Path):
    before = load_checkpoint(straight / "best.pt")
    initial = make_initial_model(ModelSettings(weights=str(straight / "best.pt")), LABELS, ())
    state = initial.model.state_dict()
    assert initial.loaded_backbone
    assert all(torch.equal(state[name], tensor) for name, tensor in before.state.items())


def test_other_labels_get_new_class_predictors(straight: Path):
    torch.manual_seed(5)  # another seed than the training's, whose predictors would be the same
    before = load_checkpoint(straight / "best.pt")
    settings = ModelSettings(weights=str(straight / "best.pt"))
    initial = make_initial_model(settings, ("square", "stripe"), ())
    state = initial.model.state_dict()
    assert initial.model.contract.labels == ("square", "stripe")
    assert initial.model.contract.anchors == before.contract.anchors
    assert torch.equal(state[BOX], before.state[BOX])
    assert (state[SCORE] - before.state[SCORE]).abs().max() > 0.01
    assert "replaced by new ones for square, stripe" in initial.description


def test_missing_weights_are_refused(tmp_path: Path):
    with pytest.raises(CheckpointError, match="no weights at"):
        make_initial_model(ModelSettings(weights=str(tmp_path / "absent.pt")), LABELS, ())
