"""Checks that the options make of their own values."""

from __future__ import annotations

import math
import re

from edgessd.core.errors import ConfigError


def require_between(key: str, value: float | None, least: float, most: float = math.inf) -> None:
    """Refuse a number outside [least, most]; None passes.

    Raises:
        ConfigError: It is outside, infinite or no number.
    """
    # Not isfinite and :g, which can't convert an integer of 400 digits.
    if value is None or (abs(value) != math.inf and least <= value <= most):
        return
    expected = f"at least {least:g}" if math.isinf(most) else f"{least:g} to {most:g}"
    found = str(value) if isinstance(value, int) else f"{value:g}"
    raise ConfigError(f"{key} is out of range", expected=expected, found=found)


def require_scheme(key: str, url: str | None, schemes: tuple[str, ...]) -> None:
    """Refuse an address that begins with another scheme; None passes.

    Raises:
        ConfigError: It does. The address is not shown, since it may be a secret.
    """
    if url is None or url.lower().startswith(tuple(f"{scheme}://" for scheme in schemes)):
        return
    raise ConfigError(
        f"{key} isn't an address of this kind",
        expected=" or ".join(f"{scheme}://host" for scheme in schemes),
        found=f"an address that begins with {url.partition('://')[0]}://"
        if "://" in url
        else "text without ://",
    )


def parse_listen(text: str) -> tuple[str, int]:
    """Split `PORT` or `HOST:PORT` into (host, port). A port alone is served to this machine only.

    Raises:
        ConfigError: The text has another form.
    """
    host, _, port = text.rpartition(":")
    if (
        not re.fullmatch("[0-9]{1,5}", port)
        or not 0 <= int(port) < 65536
        or (":" in text and not host)
    ):
        raise ConfigError(
            "Metrics can't be served there",
            expected="PORT or HOST:PORT, such as 9464 or 0.0.0.0:9464",
            found=text,
        )
    return host.strip("[]") or "127.0.0.1", int(port)


def require_variable(key: str, name: str | None) -> None:
    """Refuse text that can't be the name of an environment variable; None passes.

    Raises:
        ConfigError: It isn't such a name. The text is not shown, since it may be the secret itself.
    """
    if name is None or re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        return
    raise ConfigError(
        f"{key} isn't the name of an environment variable",
        expected="letters, digits and underscores",
        fix=f'Set a variable, such as MY_SECRET, in the environment, and write {key} = "MY_SECRET".',
    )
