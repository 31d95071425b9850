"""The range of sigmoid class scores ends at the lowest score that can matter; nothing else changes."""

from __future__ import annotations

import math
from dataclasses import replace

import msgspec
import pytest

from edgessd.core.contract import Scoring
from edgessd.quantize.annotate import Group, Plan
from edgessd.quantize.ranges.score_floor import LOWEST_LOGIT, with_score_floor
from edgessd.quantize.recipe import RangeRule


@pytest.fixture
def contract():
    from edgessd.model.new_detector import new_detector

    return new_detector(("cat", "dog"), width=0.35, input_size=(96, 96))[1]


def plan_with(low):
    rule = RangeRule(method="minmax")
    names = ("box_codes", "class_scores")
    groups = tuple(
        Group(
            name=name, tensors=(f"{name}_part", name), sources=(name,), rule=rule, low=low, high=9
        )
        for name in names
    )
    return Plan(groups=groups, convolutions=())


def with_activation(contract, activation):
    return msgspec.structs.replace(contract, scoring=Scoring(activation=activation))


def test_only_class_scores_are_cut(contract):
    plan = plan_with(-math.inf)
    boxes, scores = with_score_floor(plan, with_activation(contract, "sigmoid")).groups
    assert boxes == plan.groups[0]
    assert scores == replace(plan.groups[1], low=LOWEST_LOGIT)


def test_a_tighter_bound_stays(contract):
    plan = plan_with(-3.0)
    assert with_score_floor(plan, with_activation(contract, "sigmoid")) == plan


def test_softmax_scores_are_left_alone(contract):
    plan = plan_with(-math.inf)
    assert with_score_floor(plan, with_activation(contract, "softmax")) == plan


def test_the_floor_lies_far_under_any_threshold():
    assert 1 / (1 + math.exp(-LOWEST_LOGIT)) < 0.01 / 20
