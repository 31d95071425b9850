"""Ranges of the options of a compilation."""

from __future__ import annotations

import pytest

from edgessd.core.errors import ConfigError
from edgessd.runtime.tensorrt.options import EngineOptions


@pytest.mark.parametrize(
    "field", [{"workspace_mb": 0}, {"optimization_level": 6}, {"dla_core": -1}]
)
def test_options_out_of_range_are_refused(field: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(field))):
        EngineOptions(precision="int8", **field)
