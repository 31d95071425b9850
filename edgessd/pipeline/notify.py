"""Notification protocol of systemd: ready, alive, stopping, and one line of status.

https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

_log = logging.getLogger(__name__)
_SEND_SECONDS = 1.0


class Notifier:
    """Sends datagrams to the service manager that started this process.

    Args:
        address: `$NOTIFY_SOCKET`: a path, or `@name` for an abstract socket of Linux.
        watchdog_seconds: Maximum seconds between two calls of `alive`; None without a watchdog.
    """

    def __init__(self, address: str, *, watchdog_seconds: float | None = None) -> None:
        self.watchdog_seconds = watchdog_seconds
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        # If the manager doesn't read, the pipeline must still end.
        self._socket.settimeout(_SEND_SECONDS)
        self._failed = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Notifier | None:
        """Connect to the manager named in the environment; None outside a service of type `notify`."""
        address = environment.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):
            return None
        # The watchdog's variables may be meant for a parent process.
        mine = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        microseconds = environment.get("WATCHDOG_USEC", "")
        watched = mine and microseconds.isdigit() and int(microseconds) > 0
        return cls(address, watchdog_seconds=int(microseconds) / 1e6 if watched else None)

    def ready(self) -> None:
        """Report that everything is open, so that dependent services may start."""
        self._send("READY=1")

    def alive(self) -> None:
        """Keep the watchdog from restarting the service for another `watchdog_seconds`."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Report that the service is ending."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """Set the line that `systemctl status` shows."""
        self._send("STATUS=" + text.replace("\n", " "))

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _send(self, text: str) -> None:
        try:
            self._socket.sendto(text.encode(), self._address)
        except OSError as error:
            # The service continues. If the watchdog hears nothing, systemd restarts the service.
            if not self._failed:
                self._failed = True
                _log.warning(
                    "The status can't be sent to systemd: %s",
                    error.strerror or error,
                    extra={"edgessd": {"event": "notify_failed"}},
                )
