"""Who may see the live page: a token, and what keeps other websites' scripts away from it.

* Without a token (bound to this machine alone) the request must name this machine: a website that lets its
  own name point to 127.0.0.1 (DNS rebinding) is refused by the Host header.
* With a token any name will do, since a browser sends the cookie to no other name.
* A request that changes something, and a WebSocket, must come from the page itself: its Origin must be the
  host it is sent to.
"""

from __future__ import annotations

import ipaddress
import secrets
from hmac import compare_digest
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from edgessd.core.errors import SinkError
from edgessd.pipeline.options.outputs import LIVE_TOKEN_VARIABLE

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection
    from starlette.types import ASGIApp, Receive, Scope, Send

_SHORTEST = 16
_COOKIE_SECONDS = 30 * 24 * 3600
# Nothing from elsewhere, nobody else's frame, and no address of this page (with its token) told to others.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; manifest-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own, reachable from nowhere else."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def choose_token(host: str, given: str | None) -> str | None:
    """The token that viewers need: the one given, a new one beyond this machine, else none.

    Raises:
        SinkError: The one given is short enough to be guessed, or no browser could send it.
    """
    if given:
        if len(given) < _SHORTEST or not (given.isascii() and given.isprintable()):
            raise SinkError(
                "The live page's token can't be used",
                expected=f"at least {_SHORTEST} printable ASCII characters",
                found=f"{len(given)} characters",
                fix=f"Set {LIVE_TOKEN_VARIABLE} to the output of `openssl rand -hex 24`, or unset it: "
                "then one is made.",
            )
        return given
    return None if is_loopback(host) else secrets.token_urlsafe(24)


class Guard:
    """Checks each request before the application sees it.

    Args:
        app: The application behind it.
        token: What viewers need; None lets this machine's own users in.
        cookie: Name of the cookie that a browser keeps the token in. Cookies don't tell ports apart, so
            two pages on one machine need two names.
        token_page: HTML that asks for the token.
    """

    def __init__(self, app: ASGIApp, *, token: str | None, cookie: str, token_page: Path) -> None:
        self._app = app
        self._token = token
        self._cookie = cookie
        self._token_page = token_page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.datastructures import MutableHeaders
        from starlette.requests import HTTPConnection

        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: dict[str, object]) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        answer = self._answer(HTTPConnection(scope))
        await (answer or self._app)(scope, receive, send_guarded)  # type: ignore[arg-type]

    def _answer(self, request: HTTPConnection) -> ASGIApp | None:
        """What to answer instead of the application, None to let it pass."""
        host = request.headers.get("host", "")
        if self._token is None and not is_loopback(urlsplit(f"//{host}").hostname or ""):
            return _refuse(
                request,
                421,
                f"This page answers to the names of its own machine, not to {host[:100]!r}. "
                f"Set {LIVE_TOKEN_VARIABLE} where it is reached through another name.",
            )
        if not _same_origin(request, host):
            return _refuse(request, 403, "The request comes from another website.")
        if self._token is None or request.url.path.startswith("/static/"):
            return None
        shown = self._shown_token(request)
        if shown is not None and compare_digest(shown.encode(), self._token.encode()):
            if "token" in request.query_params and request.url.path == "/":
                return self._remember(request)
            return None
        if request.url.path == "/" and request.scope["type"] == "http":
            from starlette.responses import FileResponse

            return FileResponse(self._token_page, status_code=401, headers=_NEVER_KEPT)
        return _refuse(request, 401, "The token is missing or wrong.")

    def _shown_token(self, request: HTTPConnection) -> str | None:
        kind, _, bearer = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return bearer.strip()
        return request.query_params.get("token") or request.cookies.get(self._cookie)

    def _remember(self, request: HTTPConnection) -> ASGIApp:
        """Keep the token in a cookie that no script reads, and take it out of the address."""
        from starlette.responses import RedirectResponse

        response = RedirectResponse("./", status_code=303, headers=_NEVER_KEPT)
        response.set_cookie(
            self._cookie,
            self._token or "",
            max_age=_COOKIE_SECONDS,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return response


_NEVER_KEPT = {"Cache-Control": "no-store"}


def _same_origin(request: HTTPConnection, host: str) -> bool:
    """Browsers state the origin of whatever changes something or opens a WebSocket; programs state none."""
    if request.scope["type"] == "http" and request.scope["method"] in ("GET", "HEAD"):
        return True
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == host


def _refuse(request: HTTPConnection, status: int, problem: str) -> ASGIApp:
    if request.scope["type"] == "websocket":
        from starlette.websockets import WebSocketClose

        return WebSocketClose(code=1008, reason=problem[:100])
    from starlette.responses import JSONResponse

    return JSONResponse({"error": {"problem": problem}}, status, headers=_NEVER_KEPT)
