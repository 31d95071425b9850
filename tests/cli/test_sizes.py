"""Sizes on the command line."""

from __future__ import annotations

import pytest

from edgessd.cli.sizes import parse_size
from edgessd.core.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "size"), [("320", (320, 320)), ("640x480", (640, 480)), ("640X480", (640, 480))]
)
def test_a_side_or_width_and_height_are_read(text: str, size: tuple[int, int]) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "320x", "-3", "1x2x3", "3.5", "99999", "wide"])
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="320x240"):
        parse_size(text)
