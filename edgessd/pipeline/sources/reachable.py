"""Why a network camera doesn't answer: asked over a plain connection, since OpenCV gives no reason.

OpenCV opens one stream at a time in a process and waits for seconds on a host that is switched off, while
the other cameras of the process can't come back. So hosts are knocked at first.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from urllib.parse import urlsplit

from edgessd.core.errors import SourceError
from edgessd.pipeline.sources.credentials import (
    CredentialVariables,
    has_credentials,
    masked,
    with_credentials,
    without_credentials,
)

_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443, "rtmp": 1935}
_ANSWERS = {
    401: "it wants a user name and password",
    403: "it forbids this user to look",
    404: "it has no stream of that path",
    453: "it has no bandwidth left: too many are looking",
    461: "it doesn't send over this transport; try --rtsp-transport udp",
    503: "it is overloaded, or too many are looking",
}


def knock(url: str, *, timeout: float) -> None:
    """Connect to the host of a URL and hang up. Nothing happens for schemes without a connection.

    Raises:
        SourceError: Nobody there, by name or by port.
    """
    scheme, host, port = _address(with_credentials(url))
    if scheme not in _PORTS:
        return
    try:
        socket.create_connection((host, port), timeout=timeout).close()
    except OSError as error:
        raise SourceError(
            f"{masked(url)} can't be reached",
            expected=f"something that listens on port {port} of {host}",
            found=_reason(error, timeout),
            fix=f"Check the address, the cable and that the camera is on: `ping {host}`.",
        ) from error


def status_of(url: str, *, timeout: float) -> int | None:
    """The server's answer to a question without credentials, such as 401 or 404; None for no answer."""
    scheme, host, port = _address(url)
    try:
        if scheme in ("http", "https"):
            return _http_status(scheme, host, port, url, timeout)
        if scheme in ("rtsp", "rtsps"):
            return _rtsp_status(scheme, host, port, url, timeout)
    except (OSError, http.client.HTTPException, ValueError):
        return None
    return None


def refusal(
    url: str, credentials: CredentialVariables = CredentialVariables(), *, timeout: float
) -> SourceError:
    """What to tell of a URL whose host answers but which gives no video."""
    status = status_of(url, timeout=timeout)
    name = masked(url)
    if status == 401 and has_credentials(url):
        return SourceError(
            f"{name} refuses its user name and password",
            found="the answer 401, Unauthorized",
            fix="Check both; special characters may have to be percent-encoded, as @ is %40.",
        )
    if status == 401:
        return SourceError(
            f"{name} wants a user name and password",
            found="the answer 401, Unauthorized",
            fix=f"Set {credentials.username} and {credentials.password}, "
            "or name them as in rtsp://user:password@host/path.",
        )
    if url.partition("://")[0].lower() not in _PORTS:
        return SourceError(
            f"{name} gives no video",
            expected=f"one of {', '.join(f'{scheme}://' for scheme in _PORTS)}, or what else OpenCV's "
            "FFmpeg was built with",
            found="nobody who sends, or a kind of address that this FFmpeg doesn't know",
        )
    said = _ANSWERS.get(status or 0, "")
    return SourceError(
        f"{name} gives no video",
        expected="H.264, H.265, MJPEG or another codec that OpenCV's FFmpeg knows",
        found=f"the answer {status}: {said}" if said else "no answer, or one without video in it",
        fix="Try the very URL in VLC or `ffprobe`; the camera's manual has its path.",
    )


def _address(url: str) -> tuple[str, str, int]:
    try:
        parts = urlsplit(url)
        scheme = parts.scheme.lower()
        return scheme, parts.hostname or "", parts.port or _PORTS.get(scheme, 0)
    except ValueError as error:
        raise SourceError(
            f"{masked(url)} is no URL",
            expected="scheme://host:port/path, as rtsp://10.0.0.5:554/main",
            found="a host or port that can't be read",  # in its own words may be part of a password
        ) from error


def _reason(error: OSError, timeout: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer in {timeout:.0f} s"
    return error.strerror or str(error)


def _http_status(scheme: str, host: str, port: int, url: str, timeout: float) -> int:
    kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
    connection = kind(host, port, timeout=timeout)
    try:
        parts = urlsplit(url)
        connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
        return connection.getresponse().status
    finally:
        connection.close()


def _rtsp_status(scheme: str, host: str, port: int, url: str, timeout: float) -> int:
    """The status of a DESCRIBE (RFC 2326, 10.2)."""
    plain = socket.create_connection((host, port), timeout=timeout)
    connection = _encrypted(plain, host) if scheme == "rtsps" else plain
    with connection:
        lines = (
            f"DESCRIBE {without_credentials(url)} RTSP/1.0",
            "CSeq: 1",
            "Accept: application/sdp",
        )
        connection.sendall("\r\n".join((*lines, "", "")).encode())
        with connection.makefile("rb") as answer:
            words = answer.readline(200).decode(errors="replace").split()
    return int(words[1]) if len(words) > 1 and words[0].startswith("RTSP/") else 0


def _encrypted(plain: socket.socket, host: str) -> socket.socket:
    """Cameras sign their own certificates; only the status is read, and no secret is sent."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(plain, server_hostname=host)
