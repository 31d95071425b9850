"""Each scheme is found by its name and gives the parameters that its engines need."""

from __future__ import annotations

import pytest

from edgessd.core.errors import ConfigError
from edgessd.quantize.schemes import AFFINE, SCHEMES, SYMMETRIC, scheme_named


def test_schemes_by_name() -> None:
    assert [scheme_named(name) for name in SCHEMES] == [AFFINE, SYMMETRIC]
    with pytest.raises(ConfigError, match=r"affine or symmetric.*ternary"):
        scheme_named("ternary")


def test_only_the_affine_scheme_moves_its_zero_point() -> None:
    assert AFFINE.params(0.0, 6.0).zero_point == -128
    assert SYMMETRIC.params(0.0, 6.0).zero_point == 0
