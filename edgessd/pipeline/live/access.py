"""Access to the live page: a token, and protection from the scripts of other websites.

* Without a token the page is bound to this machine, and a request must name this machine. A website whose
  name points to 127.0.0.1 (DNS rebinding) is refused by the Host header.
* With a token any name is accepted, because a browser sends the cookie to no other name.
* A request that changes something, and a WebSocket, must come from the page itself: their Origin must be the
  host that they are sent to.
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
# Load nothing from other sites, allow no foreign frame, and send no address of this page (with its token).
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
    """Check that a host name or address reaches only this machine itself."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def choose_token(
    host: str, given: str | None, *, variable: str = LIVE_TOKEN_VARIABLE
) -> str | None:
    """Return the given token, or a new one if the page can be reached from other machines, or None.

    Args:
        host: Address of the page.
        given: Token of the user.
        variable: Environment variable that holds it.

    Raises:
        SinkError: The given token is short enough to be guessed, or has characters that can't be sent.
    """
    if given:
        if len(given) < _SHORTEST or not (given.isascii() and given.isprintable()):
            raise SinkError(
                "The live page's token can't be used",
                expected=f"at least {_SHORTEST} printable ASCII characters",
                found=f"{len(given)} characters",
                fix=f"Set {variable} to the output of `openssl rand -hex 24`, or unset it "
                "for a new token.",
            )
        return given
    return None if is_loopback(host) else secrets.token_urlsafe(24)


class Guard:
    """Checks each request before the application gets it.

    Args:
        app: Application to protect.
        token: Token that viewers need; None admits all users of this machine.
        cookie: Name of the cookie with the token. Cookies don't depend on ports, so two pages on one machine
            need two names.
        token_page: HTML file that asks for the token.
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
        """Return the response of a refused request, or None to pass it on."""
        host = request.headers.get("host", "")
        if self._token is None and not is_loopback(urlsplit(f"//{host}").hostname or ""):
            return _refuse(
                request,
                421,
                f"This page accepts only names of its own machine, not {host[:100]!r}. "
                f"Set {LIVE_TOKEN_VARIABLE} to allow another name.",
            )
        if not _same_origin(request, host):
            return _refuse(request, 403, "The request comes from another website.")
        if self._token is None or request.url.path.startswith("/static/"):
            return None
        sent = _token_of(request, self._cookie)
        if sent is not None and compare_digest(sent.encode(), self._token.encode()):
            if "token" in request.query_params and request.url.path == "/":
                return self._remember(request)
            return None
        if request.url.path == "/" and request.scope["type"] == "http":
            from starlette.responses import FileResponse

            return FileResponse(self._token_page, status_code=401, headers=_NO_STORE)
        return _refuse(request, 401, "The token is missing or wrong.")

    def _remember(self, request: HTTPConnection) -> ASGIApp:
        """Store the token in a cookie that scripts can't read, and remove it from the address."""
        from starlette.responses import RedirectResponse

        response = RedirectResponse("./", status_code=303, headers=_NO_STORE)
        response.set_cookie(
            self._cookie,
            self._token or "",
            max_age=_COOKIE_SECONDS,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return response


_NO_STORE = {"Cache-Control": "no-store"}


def _token_of(request: HTTPConnection, cookie: str) -> str | None:
    """Return the token in a request's header, query or cookie."""
    kind, _, bearer = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return bearer.strip()
    return request.query_params.get("token") or request.cookies.get(cookie)


def _same_origin(request: HTTPConnection, host: str) -> bool:
    """Check the Origin of a request that changes something or opens a WebSocket.

    Browsers always state it; other programs state none and are accepted.
    """
    if request.scope["type"] == "http" and request.scope["method"] in ("GET", "HEAD"):
        return True
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == host


def _refuse(request: HTTPConnection, status: int, problem: str) -> ASGIApp:
    if request.scope["type"] == "websocket":
        from starlette.websockets import WebSocketClose

        return WebSocketClose(code=1008, reason=problem[:100])
    from starlette.responses import JSONResponse

    return JSONResponse({"error": {"problem": problem}}, status, headers=_NO_STORE)
