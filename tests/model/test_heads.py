"""The order of the predictions."""

from __future__ import annotations

import torch

from edgessd.model.heads import Predictor
from edgessd.model.new_detector import new_detector

LABELS = ("cat", "dog", "bird")


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
