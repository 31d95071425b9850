"""Log messages about a server that can't be reached: one when it goes, one when it is back."""

from __future__ import annotations

import logging
import threading


class Outage:
    """Says once that something is out of reach, and once that it is back.

    Args:
        log: Of the sink's module.
        name: What is out of reach, for people.
        kind: For machines: events are `{kind}_unreachable` and `{kind}_back`.
    """

    def __init__(self, log: logging.Logger, name: str, kind: str) -> None:
        self._log, self._name, self._kind = log, name, kind
        self._lock = threading.Lock()
        self.reason: str | None = None

    def begin(self, reason: str) -> None:
        """It is out of reach."""
        with self._lock:
            if self.reason is not None:
                return
            self.reason = reason
        self._log.warning(
            "%s can't be reached (%s); what is to be sent waits, and the rest goes on.",
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
        """It answers."""
        with self._lock:
            if self.reason is None:
                return
            self.reason = None
        self._log.info(
            "%s is back.",
            self._name,
            extra={"edgessd": {"event": f"{self._kind}_back", "name": self._name}},
        )
