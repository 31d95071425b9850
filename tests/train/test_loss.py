"""The multibox loss equals numbers that are computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from edgessd.core.contract import Scoring
from edgessd.core.errors import ConfigError
from edgessd.train.config import LossSettings
from edgessd.train.loss import MultiboxLoss
from edgessd.train.matcher import IGNORED, NEGATIVE

SOFTMAX = Scoring(activation="softmax", background=True)
SIGMOID = Scoring(activation="sigmoid", background=False)


def ids(*rows: list[int]) -> torch.Tensor:
    return torch.tensor(rows)


def test_uniform_scores_cost_the_logarithm_of_the_columns():
    # One positive and its three negatives, each log 3 with three columns; divided by one positive.
    loss = MultiboxLoss(SOFTMAX, LossSettings())
    class_ids = ids([0] + [NEGATIVE] * 9)
    found = loss(torch.zeros(1, 10, 4), torch.zeros(1, 10, 3), class_ids, torch.zeros(1, 10, 4))
    assert found.positives == 1
    assert found.classes.item() == pytest.approx(4 * math.log(3))
    assert found.boxes.item() == 0


def test_only_the_hardest_negatives_learn():
    scores = torch.zeros(1, 8, 2)
    # Foreground scored 1 to 7: the three largest are the hardest negatives of one positive.
    scores[0, 1:, 1] = torch.arange(1.0, 8.0)
    scores.requires_grad_(True)
    loss = MultiboxLoss(SOFTMAX, LossSettings())
    codes = torch.zeros(1, 8, 4)
    loss(codes, scores, ids([0] + [NEGATIVE] * 7), codes).total.backward()
    touched = scores.grad.abs().sum(2)[0] > 0
    assert touched.tolist() == [True, False, False, False, False, True, True, True]


def test_an_image_without_boxes_trains_the_background():
    scores = torch.zeros(2, 50, 2, requires_grad=True)
    class_ids = torch.full((2, 50), NEGATIVE)
    class_ids[0, 0] = 0
    codes = torch.zeros(2, 50, 4)
    MultiboxLoss(SOFTMAX, LossSettings(min_negatives=5))(
        codes, scores, class_ids, codes
    ).total.backward()
    touched = (scores.grad.abs().sum(2) > 0).sum(1)
    assert touched.tolist() == [4, 5]


@pytest.mark.parametrize("scoring", [SOFTMAX, SIGMOID], ids=["softmax", "sigmoid"])
def test_ignored_anchors_learn_nothing(scoring: Scoring):
    scores = torch.randn(1, 6, 3, generator=torch.Generator().manual_seed(1), requires_grad=True)
    boxes = torch.ones(1, 6, 4, requires_grad=True)
    class_ids = ids([1, IGNORED, NEGATIVE, NEGATIVE, IGNORED, NEGATIVE])
    MultiboxLoss(scoring, LossSettings())(
        boxes, scores, class_ids, torch.zeros(1, 6, 4)
    ).total.backward()
    assert not scores.grad[0, [1, 4]].any()
    assert scores.grad[0, [0, 2, 3, 5]].abs().sum(1).all()
    assert boxes.grad.abs().sum(2)[0].tolist() == [4, 0, 0, 0, 0, 0]


def test_box_loss_is_smooth_l1_over_positives():
    # Differences 0.5 and 3: 0.5 * 0.25 and 3 - 0.5, over the one positive.
    codes = torch.tensor([[[0.5, 3.0, 0.0, 0.0], [9.0, 9.0, 9.0, 9.0]]])
    found = MultiboxLoss(SOFTMAX, LossSettings(box_weight=2))(
        codes, torch.zeros(1, 2, 2), ids([0, NEGATIVE]), torch.zeros(1, 2, 4)
    )
    assert found.boxes.item() == pytest.approx(0.125 + 2.5)
    assert found.total.item() == pytest.approx(found.classes.item() + 2 * 2.625)


def test_no_positive_at_all_gives_a_finite_loss():
    found = MultiboxLoss(SOFTMAX, LossSettings())(
        torch.zeros(1, 9, 4),
        torch.zeros(1, 9, 2),
        torch.full((1, 9), NEGATIVE),
        torch.zeros(1, 9, 4),
    )
    assert found.positives == 0
    assert math.isfinite(found.total.item())
    assert found.total.item() > 0


def test_focal_loss_of_a_certain_and_an_uncertain_score():
    # Positive at p = 0.5: 0.25 * 0.5^2 * log 2; negative at p = sigmoid(-2): 0.75 p^2 * -log(1 - p).
    p = 1 / (1 + math.exp(2))
    found = MultiboxLoss(SIGMOID, LossSettings())(
        torch.zeros(1, 2, 4),
        torch.tensor([[[0.0], [-2.0]]]),
        ids([0, NEGATIVE]),
        torch.zeros(1, 2, 4),
    )
    expected = 0.25 * 0.25 * math.log(2) + 0.75 * p**2 * -math.log(1 - p)
    assert found.classes.item() == pytest.approx(expected, rel=1e-5)


def test_softmax_without_a_background_column_is_refused():
    with pytest.raises(ConfigError, match="background"):
        MultiboxLoss(Scoring(activation="softmax", background=False), LossSettings())


def test_a_lower_loss_means_better_scores():
    rng = np.random.default_rng(0)
    class_ids = torch.from_numpy(rng.integers(-1, 3, (2, 40)))
    codes = torch.zeros(2, 40, 4)
    right = torch.nn.functional.one_hot(class_ids + 1, 4).float() * 8
    loss = MultiboxLoss(SOFTMAX, LossSettings())
    good = loss(codes, right, class_ids, codes).total.item()
    bad = loss(codes, right.roll(1, dims=2), class_ids, codes).total.item()
    assert good < 0.1 < bad
