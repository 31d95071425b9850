"""The live page as a sink: what the pipeline sees, in a browser."""

from __future__ import annotations

import socket
from importlib.util import find_spec
from typing import TYPE_CHECKING

from edgessd.core.errors import SinkError
from edgessd.pipeline.live.access import choose_token, is_loopback

if TYPE_CHECKING:
    from edgessd.pipeline.live.hub import Extras, Watched
    from edgessd.pipeline.result import Result

_LIBRARIES = ("starlette", "uvicorn", "websockets")


class LivePage:
    """Serves the annotated stream, its figures and its controls until it is closed.

    Taking a result costs microseconds whoever looks: pictures are drawn and encoded on another thread,
    only those that somebody is waiting for, and once for all.

    Args:
        pipeline: What is watched and controlled.
        host: Address to listen on; the default is reachable from this machine alone.
        port: 0 takes any that is free.
        token: What viewers need. None makes one where `host` is more than this machine.
        extras: What else is shown.
        stall_seconds: A viewer that reads nothing for so long is let go.

    Attributes:
        token: What viewers need, None if nothing.
        host, port: Where it listens.

    Raises:
        SinkError: The address is taken or not this machine's, the token is too short, or the web server
            isn't installed.

    Example:
        >>> with Pipeline("camera:0", "dist/codes-host") as pipeline:  # doctest: +SKIP
        ...     page = LivePage(pipeline)
        ...     pipeline.add_sink(page)
        ...     print(page.urls()[0])
        ...     for result in pipeline:
        ...         pass
    """

    lossless = False
    own_thread = False  # a result is only left for whoever looks; a queue would make it older

    def __init__(
        self,
        pipeline: Watched,
        *,
        host: str = "127.0.0.1",
        port: int = 8080,
        token: str | None = None,
        extras: Extras | None = None,
        stall_seconds: float = 20.0,
    ) -> None:
        missing = [name for name in _LIBRARIES if find_spec(name) is None]
        if missing:
            raise SinkError(
                "The live page needs a web server that isn't installed",
                expected=", ".join(_LIBRARIES),
                found="no " + ", no ".join(missing),
                fix="Run `pip install 'edgessd[live]'`.",
            )
        from edgessd.pipeline.live.app import make_app
        from edgessd.pipeline.live.hub import Extras, Hub
        from edgessd.pipeline.live.server import Server, bind

        self.token = choose_token(host, token)
        listener = bind(host, port, stall_seconds=stall_seconds)
        self.host = host
        self.port = int(listener.getsockname()[1])
        self.name = f"live page on {_bracketed(host)}:{self.port}"
        self._hub = Hub(pipeline, extras or Extras(), stall_seconds=stall_seconds)
        app = make_app(self._hub, token=self.token, cookie=f"edgessd_{self.port}")
        try:
            self._server = Server(app, listener)
        except SinkError:
            self._hub.pictures.close()
            raise

    @property
    def viewers(self) -> int:
        """Browsers and MJPEG readers that are connected."""
        return self._hub.viewers

    @property
    def pictures_encoded(self) -> int:
        """JPEGs made so far."""
        return self._hub.pictures.encoded

    def urls(self, *, with_token: bool = True) -> list[str]:
        """Addresses to open in a browser, the most useful first."""
        query = f"?token={self.token}" if self.token and with_token else ""
        if self.host in ("0.0.0.0", "::", ""):
            hosts = addresses_of_this_machine() or ["127.0.0.1"]
        else:
            hosts = [self.host]
        return [f"http://{_bracketed(host)}:{self.port}/{query}" for host in hosts]

    def write(self, result: Result) -> None:
        self._hub.take(result)

    def close(self) -> None:
        self._hub.pictures.close()
        self._server.close()


def addresses_of_this_machine() -> list[str]:
    """IPv4 addresses that others can reach, those of real network cards first."""
    import psutil

    up = {name for name, card in psutil.net_if_stats().items() if card.isup}
    found = [
        (name.startswith(("docker", "br-", "veth", "virbr")), address.address)
        for name, addresses in psutil.net_if_addrs().items()
        for address in addresses
        if name in up and address.family == socket.AF_INET and not is_loopback(address.address)
    ]
    return [address for _, address in sorted(found)]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
