"""User names and passwords of network cameras: read from the environment, never shown.

A URL may contain them (`rtsp://user:password@host/`), but then every list of processes shows them. For a URL
without them, `EDGESSD_SOURCE_USERNAME` and `EDGESSD_SOURCE_PASSWORD` are used.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple
from urllib.parse import quote, unquote

USERNAME_VARIABLE = "EDGESSD_SOURCE_USERNAME"
PASSWORD_VARIABLE = "EDGESSD_SOURCE_PASSWORD"

_MASK = "***"
# Schemes whose URLs get credentials from the environment.
_FROM_ENVIRONMENT = ("rtsp://", "rtsps://", "http://", "https://")
_SCHEME = r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)"
# Greedy up to the last @: passwords may contain @, / and # that aren't encoded.
_SHOWN = re.compile(_SCHEME + r"(?:[^\s\"']*:[^\s\"']*|[^\s\"'/?#@]*)@(?=[^\s\"'@]+)")
# A port number isn't a password: `rtsp://host:554/@front` has no credentials.
_SENT = re.compile(
    _SCHEME + r"(?P<info>(?![^\s/@]*:\d+(?:/|$))[^\s]*:[^\s]*|[^\s/?#@]*)@(?=[^\s@]+)"
)
# Cameras accept these in the query; cheap ones in the path: `/user=admin&password=secret&channel=1`.
_SECRET_PAIR = re.compile(
    r"(?P<key>\b(?:user(?:name)?|login|usr|account|pass(?:word|wd)?|pwd|psw|token|secret|auth|key|api_?key|"
    r"signature|user-id|user-pw|loginuse|loginpas))=(?P<value>[^&\s\"'/?#!]*)",
    re.IGNORECASE,
)


def masked(text: str) -> str:
    """Replace every user name and password of the URLs in a text by ***.

    For names, logs and messages. In doubt it hides too much rather than too little.

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
    """Return the URL for FFmpeg and GStreamer, with percent-encoded credentials.

    An unencoded `@`, `/` or `#` in a password would split the URL at the wrong place. Characters that are
    already encoded stay so. If the URL has no credentials, those of the environment are used.

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
        if not user or f"{scheme.lower()}://" not in _FROM_ENVIRONMENT:
            return url
        return f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{rest}"
    return f"{found['scheme']}{_encoded(user)}{colon}{_encoded(password)}@{rest}"


def has_credentials(url: str) -> bool:
    """Check that the URL contains a user name."""
    return bool(_SENT.match(url))


def without_credentials(url: str) -> str:
    """Remove the user name and password from the URL."""
    return _SENT.sub(r"\g<scheme>", url, count=1)


class SplitUrl(NamedTuple):
    """A URL without its credentials, and the credentials as plain text."""

    url: str
    username: str
    password: str


def split_credentials(url: str) -> SplitUrl | None:
    """Take the credentials out of a URL to which `with_credentials` can add them again.

    Returns:
        None if the URL has no user name with a password, or its scheme gets no credentials from the
        environment.

    Example:
        >>> split_credentials("rtsp://admin:p%40ss@10.0.0.5/main")
        SplitUrl(url='rtsp://10.0.0.5/main', username='admin', password='p@ss')
    """
    found = _SENT.match(url)
    if found is None or found["scheme"].lower() not in _FROM_ENVIRONMENT:
        return None
    username, colon, password = found["info"].partition(":")
    if not (username and colon):
        return None
    return SplitUrl(without_credentials(url), _decoded(username), _decoded(password))


def _encoded(part: str) -> str:
    """Percent-encode a text that may be encoded already."""
    return quote(_decoded(part), safe="")


def _decoded(part: str) -> str:
    return unquote(part) if re.search(r"%[0-9A-Fa-f]{2}", part) else part
