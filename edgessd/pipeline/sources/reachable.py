"""Find the reason why a network camera gives no video, over a plain connection. OpenCV gives no reason.

OpenCV opens only one stream at a time per process, and waits several seconds for a host that is switched off.
Meanwhile no other camera of the process can be opened. So `require_reachable` tries the host first.
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
    401: "it requires a user name and password",
    403: "it doesn't permit this user to view the stream",
    404: "it has no stream at that path",
    453: "it has no bandwidth left for another viewer",
    461: "it doesn't send over this transport; try --rtsp-transport udp",
    503: "it is overloaded or has too many viewers",
}


def require_reachable(url: str, *, timeout: float) -> None:
    """Connect to the host of a URL and close the connection. Schemes without connections are skipped.

    Raises:
        SourceError: The host or its port can't be reached.
    """
    scheme, host, port = _address(with_credentials(url))
    if scheme not in _PORTS:
        return
    try:
        socket.create_connection((host, port), timeout=timeout).close()
    except OSError as error:
        raise SourceError(
            f"{masked(url)} can't be reached",
            expected=f"a server on port {port} of {host}",
            found=_reason(error, timeout),
            fix=f"Check the address, the cable and that the camera is on; `ping {host}` tests it.",
        ) from error


def status_of(url: str, *, timeout: float) -> int | None:
    """Return the status of a request without credentials, such as 401 or 404; None without an answer."""
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
    """Make the error for a URL whose host can be reached but which gives no video."""
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
            f"{name} requires a user name and password",
            found="the answer 401, Unauthorized",
            fix=f"Set {credentials.username} and {credentials.password}, "
            "or write them into the URL: rtsp://user:password@host/path.",
        )
    if url.partition("://")[0].lower() not in _PORTS:
        return SourceError(
            f"{name} gives no video",
            expected=f"one of {', '.join(f'{scheme}://' for scheme in _PORTS)}, or another scheme of "
            "OpenCV's FFmpeg",
            found="no sender, or a scheme that this FFmpeg doesn't know",
        )
    meaning = _ANSWERS.get(status or 0, "")
    return SourceError(
        f"{name} gives no video",
        expected="H.264, H.265, MJPEG or another codec of OpenCV's FFmpeg",
        found=f"the answer {status}: {meaning}" if meaning else "no answer, or one without video",
        fix="Try the same URL in VLC or `ffprobe`; the camera's manual states its path.",
    )


def _address(url: str) -> tuple[str, str, int]:
    try:
        parts = urlsplit(url)
        scheme = parts.scheme.lower()
        return scheme, parts.hostname or "", parts.port or _PORTS.get(scheme, 0)
    except ValueError as error:
        raise SourceError(
            f"{masked(url)} isn't a URL",
            expected="scheme://host:port/path, as rtsp://10.0.0.5:554/main",
            found="a host or port that can't be read",  # the text itself may be part of a password
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
    """Return the status of a DESCRIBE request (RFC 2326, section 10.2)."""
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
    """Encrypt a connection without checking the certificate, which cameras sign themselves.

    Only the status is read, and no secret is sent.
    """
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(plain, server_hostname=host)
