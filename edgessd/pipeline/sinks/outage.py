"""Log the outage of a server: once when it begins, once when it ends."""

from __future__ import annotations

import logging
import threading


class Outage:
    """Outage of one server, which is logged when it begins and when it ends.

    Args:
        log: Logger of the sink's module.
        name: Name of the server for messages.
        kind: Prefix of the log events: `{kind}_unreachable` and `{kind}_back`.

    Attributes:
        reason: Reason of the present outage; None without one.
    """

    def __init__(self, log: logging.Logger, name: str, kind: str) -> None:
        self._log, self._name, self._kind = log, name, kind
        self._lock = threading.Lock()
        self.reason: str | None = None

    def begin(self, reason: str) -> None:
        """Log that the server can't be reached, unless that was logged before."""
        with self._lock:
            if self.reason is not None:
                return
            self.reason = reason
        self._log.warning(
            "%s can't be reached (%s). Its messages wait, and the other outputs continue.",
            self._name,
            reason,
            extra={
                "edgessd": {
                    "event": f"{self._kind}_unreachable",
                    "name": self._name,
                    "reason": reason,
                }
            },
        )

    def end(self) -> None:
        """Log that the server can be reached again, if there was an outage."""
        with self._lock:
            if self.reason is None:
                return
            self.reason = None
        self._log.info(
            "%s is back.",
            self._name,
            extra={"edgessd": {"event": f"{self._kind}_back", "name": self._name}},
        )
