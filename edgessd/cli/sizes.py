"""Sizes on the command line."""

from __future__ import annotations

from edgessd.core.errors import ConfigError


def parse_size(text: str) -> tuple[int, int]:
    """Read a size in pixels: `320` → (320, 320), `640x480` → (640, 480).

    Raises:
        ConfigError: The text is no size.
    """
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdigit() and 0 < int(part) <= 1 << 15 for part in parts):
        raise ConfigError(
            "The size can't be read",
            expected="W or WxH in pixels, as 320 or 320x240",
            found=text,
        )
    return int(parts[0]), int(parts[-1])
