"""The contract: validation, and its file form."""

from __future__ import annotations

import msgspec
import pytest

from edgessd.core.anchors import AnchorSpec, ssd_levels
from edgessd.core.contract import BoxCode, Contract, Nms, Preprocess, Scoring
from edgessd.core.errors import ConfigError


def contract_of(**settings) -> Contract:
    base = {
        "preprocess": Preprocess(width=96, height=64),
        "anchors": AnchorSpec(levels=ssd_levels(grids=[(2, 3)], scales=[0.2, 0.4], ratios=[[2]])),
        "labels": ("a", "b"),
    }
    return Contract(**{**base, **settings})


def test_a_contract_survives_its_file_form() -> None:
    contract = contract_of(
        preprocess=Preprocess(
            width=96, height=64, resize="letterbox", color="BGR", mean=(1, 2, 3), std=(4, 5, 6)
        ),
        box_code=BoxCode(centre_variance=0.3),
        scoring=Scoring(activation="sigmoid", background=False),
        nms=Nms(score_threshold=0.1),
    )
    again = msgspec.json.decode(msgspec.json.encode(contract), type=Contract)
    assert again == contract
    assert hash(again) == hash(contract)


def test_columns_count_the_background_where_there_is_one() -> None:
    assert contract_of().columns == 3
    assert contract_of(scoring=Scoring(background=False)).columns == 2


@pytest.mark.parametrize("labels", [(), ("a", "a")])
def test_labels_are_distinct_and_at_least_one(labels) -> None:
    with pytest.raises(ConfigError, match="each name once"):
        contract_of(labels=labels)


@pytest.mark.parametrize("settings", [{"width": 0}, {"height": -1}, {"std": (1.0, 0.0, 1.0)}])
def test_preprocessing_must_be_possible(settings) -> None:
    with pytest.raises(ConfigError):
        Preprocess(**{"width": 8, "height": 8, **settings})


@pytest.mark.parametrize("settings", [{"score_threshold": 1.1}, {"iou_threshold": -0.1}])
def test_thresholds_lie_between_0_and_1(settings) -> None:
    with pytest.raises(ConfigError, match="0 to 1"):
        Nms(**settings)


def test_an_unknown_key_is_an_error() -> None:
    content = msgspec.to_builtins(contract_of())
    content["preprocess"]["flavor"] = "RGB"
    with pytest.raises(msgspec.ValidationError, match="flavor"):
        msgspec.convert(content, Contract)
