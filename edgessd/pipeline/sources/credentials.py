"""User names and passwords of network cameras: taken from the environment, never shown.

They may stand in a URL (`rtsp://user:password@host/`), where every program that lists processes shows
them, so `EDGESSD_SOURCE_USERNAME` and `EDGESSD_SOURCE_PASSWORD` are taken for URLs that have none.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple
from urllib.parse import quote, unquote

USERNAME_VARIABLE = "EDGESSD_SOURCE_USERNAME"
PASSWORD_VARIABLE = "EDGESSD_SOURCE_PASSWORD"

_MASK = "***"
_SCHEME = r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)"
# Greedy up to the last @, since passwords hold @, / and # that nobody encoded.
_SHOWN = re.compile(_SCHEME + r"(?:[^\s\"']*:[^\s\"']*|[^\s\"'/?#@]*)@(?=[^\s\"'@]+)")
# To be sent, a port number isn't a password: `rtsp://host:554/@front` has no credentials.
_SENT = re.compile(
    _SCHEME + r"(?P<info>(?![^\s/@]*:\d+(?:/|$))[^\s]*:[^\s]*|[^\s/?#@]*)@(?=[^\s@]+)"
)
# As cameras take them in a query or, the cheap ones, in the path: `/user=admin&password=secret&channel=1`.
_SECRET_PAIR = re.compile(
    r"(?P<key>\b(?:user(?:name)?|login|usr|account|pass(?:word|wd)?|pwd|psw|token|secret|auth|key|api_?key|"
    r"signature|user-id|user-pw|loginuse|loginpas))=(?P<value>[^&\s\"'/?#!]*)",
    re.IGNORECASE,
)


def masked(text: str) -> str:
    """The text with every user name and password of the URLs in it replaced by ***.

    For names, logs and messages; it rather hides too much than too little.

    Example:
        >>> masked("rtsp://admin:p@ss/w@10.0.0.5:554/main?token=9a")
        'rtsp://***@10.0.0.5:554/main?token=***'
    """
    hidden = _SHOWN.sub(rf"\g<scheme>{_MASK}@", text)
    return _SECRET_PAIR.sub(rf"\g<key>={_MASK}", hidden)


class CredentialVariables(NamedTuple):
    """Names of the environment variables with the credentials of a URL that has none."""

    username: str = USERNAME_VARIABLE
    password: str = PASSWORD_VARIABLE


def with_credentials(url: str, variables: CredentialVariables = CredentialVariables()) -> str:
    """The URL as FFmpeg and GStreamer must get it: credentials in it, percent-encoded.

    A password with `@`, `/` or `#` in it splits a URL at the wrong place; encoded it doesn't. What is
    encoded already stays as it is. Without credentials in the URL those of the environment are taken.

    Example:
        >>> with_credentials("rtsp://admin:p@ss/w@10.0.0.5/main")
        'rtsp://admin:p%40ss%2Fw@10.0.0.5/main'
    """
    found = _SENT.match(url)
    if found is not None:
        user, colon, password = found["info"].partition(":")
        rest = url[found.end() :]
    else:
        user, password = (
            os.environ.get(variables.username, ""),
            os.environ.get(variables.password, ""),
        )
        scheme, _, rest = url.partition("://")
        if not user or scheme.lower() not in ("rtsp", "rtsps", "http", "https"):
            return url
        return f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{rest}"
    return f"{found['scheme']}{_encoded(user)}{colon}{_encoded(password)}@{rest}"


def has_credentials(url: str) -> bool:
    """Whether a user name stands in the URL."""
    return bool(_SENT.match(url))


def without_credentials(url: str) -> str:
    """The URL with no user name and password in it, for asking a server what it wants."""
    return _SENT.sub(r"\g<scheme>", url, count=1)


def _encoded(part: str) -> str:
    """Percent-encoded, once."""
    if re.search(r"%[0-9A-Fa-f]{2}", part):
        part = unquote(part)
    return quote(part, safe="")
