"""systemd's notification protocol: ready, alive, stopping, and one line on how it goes.

https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

_log = logging.getLogger(__name__)
_PATIENCE_SECONDS = 1.0


class Notifier:
    """Sends datagrams to whoever started this process as a service.

    Args:
        address: `$NOTIFY_SOCKET`: a path, or `@name` for Linux' abstract sockets.
        watchdog_seconds: Within which systemd wants to hear that all is well; None for no watchdog.
    """

    def __init__(self, address: str, *, watchdog_seconds: float | None = None) -> None:
        self.watchdog_seconds = watchdog_seconds
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        # A manager that reads nothing must not hold up the end of the pipeline.
        self._socket.settimeout(_PATIENCE_SECONDS)
        self._failed = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Notifier | None:
        """What systemd asks for, None where this isn't a service of type `notify`."""
        address = environment.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):
            return None
        # Variables meant for another process, which started this one, are none of our business.
        mine = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        microseconds = environment.get("WATCHDOG_USEC", "")
        watched = mine and microseconds.isdigit() and int(microseconds) > 0
        return cls(address, watchdog_seconds=int(microseconds) / 1e6 if watched else None)

    def ready(self) -> None:
        """Everything is open; whoever waits for this service may go on."""
        self._send("READY=1")

    def alive(self) -> None:
        """Don't restart it for another `watchdog_seconds`."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """It has begun to end."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send("STATUS=" + text.replace("\n", " "))

    def close(self) -> None:
        """Free the socket."""
        self._socket.close()

    def _send(self, text: str) -> None:
        try:
            self._socket.sendto(text.encode(), self._address)
        except OSError as error:
            # The service goes on; without a watchdog's answer systemd itself will act.
            if not self._failed:
                self._failed = True
                _log.warning(
                    "systemd can't be told how the service is doing: %s",
                    error.strerror or error,
                    extra={"edgessd": {"event": "notify_failed"}},
                )
