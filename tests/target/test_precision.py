"""Targets with another precision than their own."""

from __future__ import annotations

import pytest

from edgessd.core.errors import TargetError
from edgessd.target.load import load_target
from edgessd.target.precision import with_precision


def test_a_jetson_has_both_precisions() -> None:
    orin = load_target("jetson-orin-nano")
    half = with_precision(orin, "fp16")
    assert (half.engine.scheme, half.engine.input_dtype) == ("float", "float16")
    assert with_precision(half, "int8").engine == orin.engine


@pytest.mark.parametrize(("name", "precision"), [("host", None), ("host", "int8")])
def test_a_targets_own_precision_changes_nothing(name: str, precision) -> None:
    spec = load_target(name)
    assert with_precision(spec, precision) is spec


@pytest.mark.parametrize(
    ("name", "precision", "reason"),
    [
        ("jetson-nano", "int8", r"can't run an INT8 engine.*--precision fp16"),
        ("raspberry-pi", "fp16", r"can't be fp16.*no --precision"),
    ],
)
def test_a_precision_that_the_target_lacks_is_refused(name: str, precision, reason: str) -> None:
    with pytest.raises(TargetError, match=reason):
        with_precision(load_target(name), precision)
