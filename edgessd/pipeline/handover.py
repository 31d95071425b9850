"""A bounded queue between two stages."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Handover(Generic[T]):
    """Items from one stage to the next, in order, until one side ends it, with or without an error.

    Several threads may give: each item then has a ticket, and is taken in the order of the tickets.

    Args:
        depth: Items that may wait.
    """

    def __init__(self, depth: int = 1) -> None:
        self._depth = depth
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._error: Exception | None = None
        self._next_ticket = 0

    def put(self, item: T, ticket: int | None = None) -> bool:
        """Wait for room, and for every smaller ticket; False if nobody takes anything any more."""
        with self._changed:
            while not self._ended and (
                len(self._items) >= self._depth
                or (ticket is not None and ticket != self._next_ticket)
            ):
                self._changed.wait()
            if self._ended:
                return False
            self._next_ticket += 1
            self._items.append(item)
            self._changed.notify_all()
            return True

    def push(self, item: T) -> int:
        """Hand over without waiting: the oldest make room. Returns how many of them were lost."""
        with self._changed:
            if self._ended:
                return 0
            lost = max(0, len(self._items) - self._depth + 1)
            for _ in range(lost):
                self._items.popleft()
            self._items.append(item)
            self._changed.notify_all()
            return lost

    def take(self, *, wait: bool = True) -> T | None:
        """The next item; None after the last, or if there is none yet and `wait` is false.

        Raises:
            Exception: What the giving side failed with, after its last item, to whoever waits for more.
        """
        with self._changed:
            while wait and not self._items and not self._ended:
                self._changed.wait()
            if self._items:
                item = self._items.popleft()
                self._changed.notify_all()
                return item
            if wait and self._error is not None:
                raise self._error
            return None

    def end(self, error: Exception | None = None) -> None:
        """Give nothing more; what waits can still be taken. The first error counts."""
        with self._changed:
            self._ended = True
            self._error = self._error or error
            self._changed.notify_all()
