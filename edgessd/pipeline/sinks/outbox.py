"""Messages that wait until the network is back: bounded, the oldest make room, and it is said once."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Outbox(Generic[T]):
    """A bounded queue that any thread may use.

    Args:
        size: Messages that may wait.

    Attributes:
        lost: Messages that had to make room.
    """

    def __init__(self, size: int) -> None:
        self.lost = 0
        self._messages: deque[T] = deque()
        self._size = size
        self._changed = threading.Condition()
        self._ended = False

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: T) -> None:
        """Add a message; the oldest makes room."""
        with self._changed:
            if len(self._messages) >= self._size:
                self._messages.popleft()
                self.lost += 1
            self._messages.append(message)
            self._changed.notify_all()

    def wait(self) -> T | None:
        """The oldest message, left where it is; None once it was ended and is empty."""
        with self._changed:
            while not self._messages and not self._ended:
                self._changed.wait()
            return self._messages[0] if self._messages else None

    def first(self) -> T | None:
        """The oldest message if there is one, left where it is."""
        with self._changed:
            return self._messages[0] if self._messages else None

    def remove(self, message: T) -> None:
        """Take a message out, unless it had to make room meanwhile."""
        with self._changed:
            if self._messages and self._messages[0] is message:
                self._messages.popleft()

    def put_back(self, messages: Sequence[T]) -> None:
        """Put what was taken out first in line again, as far as there is room."""
        with self._changed:
            room = self._size - len(self._messages)
            fitting = messages[-room:] if room else messages[:0]
            self.lost += len(messages) - len(fitting)
            self._messages.extendleft(reversed(fitting))
            self._changed.notify_all()

    def end(self) -> None:
        """Let `wait` return once all is sent."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()


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
