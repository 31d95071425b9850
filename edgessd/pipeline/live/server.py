"""Server of the live page: uvicorn on a thread of its own, with a socket that is bound first."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import threading
import time
from typing import TYPE_CHECKING

from edgessd.core.errors import SinkError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_START_SECONDS = 10.0
_PARTING_SECONDS = 1.0
# Size of the kernel's send buffer: a few pictures, so that a slow viewer doesn't get old ones.
_SEND_BUFFER = 256 * 1024


def bind(host: str, port: int, *, stall_seconds: float) -> socket.socket:
    """Bind a socket to one address. The kernel ends its connections when they stall.

    Raises:
        SinkError: The port is taken or reserved, or this machine lacks the address.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise SinkError(
            f"The live page can't be served on {host}",
            expected="an address or name of this machine, or 0.0.0.0 for all its addresses",
            found=error.strerror,
            fix="Give --host 0.0.0.0, or leave --host out to serve this machine only.",
        ) from error
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # The kernel ends a connection whose other side reads nothing for this time.
            listener.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(stall_seconds * 1e3)
            )
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address[0] != "::"))
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise _cannot_bind(host, port, error) from error
    return listener


def _cannot_bind(host: str, port: int, error: OSError) -> SinkError:
    problem = f"The live page can't be served on {host}, port {port}"
    if error.errno == errno.EADDRINUSE:
        return SinkError(
            problem,
            found="another program that listens there",
            fix=f"Give another one, for example --port {port + 1}; `ss -ltnp` names the program.",
        )
    if error.errno == errno.EACCES:
        return SinkError(
            problem,
            found="a port that only root may open",
            fix="Give one from 1024 on, for example --port 8080.",
        )
    return SinkError(
        problem,
        expected="an address of this machine (`ip address` lists them)",
        found=error.strerror or str(error),
        fix="Give --host 0.0.0.0 for all addresses.",
    )


class Server:
    """Serves an application until `close`.

    Args:
        app: Application to serve.
        listener: Bound socket that isn't listening yet.

    Raises:
        SinkError: The server didn't start.
    """

    def __init__(self, app: ASGIApp, listener: socket.socket) -> None:
        import uvicorn

        # Log problems only, not every request.
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
        config = uvicorn.Config(
            app,
            ws="websockets-sansio",
            ws_max_size=64 * 1024,
            ws_per_message_deflate=False,  # JPEGs can't be compressed further
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
        self._server = uvicorn.Server(config)
        self._listener = listener
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve()), name="edgessd-live", daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                self.close()
                raise SinkError(
                    "The live page's server didn't start",
                    fix="Start it again with `edgessd --debug run …`.",
                )
            time.sleep(0.01)

    def close(self) -> None:
        """Disconnect every viewer and end. May be called twice."""
        self._server.should_exit = True
        self._thread.join(timeout=_PARTING_SECONDS)
        if self._thread.is_alive() and self._loop is not None:
            # A viewer has stopped reading, so what was sent to it will never arrive.
            self._loop.call_soon_threadsafe(self._abort)
            self._thread.join(timeout=5)
        self._listener.close()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._server.serve(sockets=[self._listener])

    def _abort(self) -> None:
        for connection in list(self._server.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()
