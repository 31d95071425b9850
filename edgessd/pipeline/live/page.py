"""Live page: a sink that shows the pipeline in a browser."""

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
    """Serves the annotated streams, their measurements and the controls until it is closed.

    Writing a result takes microseconds, however many viewers there are. Another thread draws and encodes
    pictures: only those that a viewer waits for, and once for all viewers.

    Args:
        pipeline: Pipeline to show and control.
        host: Address to listen on. The default can be reached only from this machine.
        port: Port to listen on; 0 for any free port.
        token: Token that viewers need. None makes one if other machines can reach `host`.
        extras: Further contents.
        stall_seconds: Seconds after which a viewer that reads nothing is disconnected.

    Attributes:
        token: Token that viewers need; None if they need none.
        host, port: Address of the page.

    Raises:
        SinkError: The address is taken or isn't one of this machine, the token is too short, or the web
            server isn't installed.

    Example:
        >>> with Pipeline("camera:0", "dist/codes-host") as pipeline:  # doctest: +SKIP
        ...     page = LivePage(pipeline)
        ...     pipeline.add_sink(page)
        ...     print(page.urls()[0])
        ...     for result in pipeline:
        ...         pass
    """

    lossless = False
    own_thread = False  # a queue would only make the results older

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
        """Number of connected browsers and MJPEG readers."""
        return self._hub.viewers

    @property
    def pictures_encoded(self) -> int:
        """Number of JPEGs made."""
        return self._hub.pictures.encoded

    def urls(self, *, with_token: bool = True) -> list[str]:
        """Return the addresses to open in a browser, the most useful first."""
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
    """Return the IPv4 addresses that other machines can reach, those of real network cards first."""
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
