"""The queue between two threads of the pipeline: bounded, in order, ended by either side."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class BoundedQueue(Generic[T]):
    """First-in, first-out queue that holds at most `capacity` items. Any thread may use it.

    Args:
        capacity: Maximum number of items, at least 1.
        drop_oldest: True: `put` into a full queue drops the oldest item. False: `put` waits for room.
        condition: Condition that several queues share, so that one thread can wait for all of them at
            once. Its lock must be re-entrant. None makes one for this queue alone.

    Attributes:
        dropped: Number of items dropped to make room.
    """

    def __init__(
        self,
        capacity: int = 1,
        *,
        drop_oldest: bool = False,
        condition: threading.Condition | None = None,
    ) -> None:
        if capacity < 1:
            raise ValueError(f"a queue needs a capacity of at least 1, not {capacity}")
        self.dropped = 0
        self._capacity = capacity
        self._drop_oldest = drop_oldest
        # Re-entrant: a signal handler may end a queue whose lock the interrupted thread holds.
        self._changed = condition or threading.Condition()
        self._items: deque[T] = deque()
        self._next_ticket = 0
        self._ended = False
        self._error: Exception | None = None

    def __len__(self) -> int:
        return len(self._items)

    @property
    def ended(self) -> bool:
        """True once `end` or `cancel` was called. Items may still wait after `end`."""
        return self._ended

    def put(self, item: T, *, ticket: int | None = None) -> bool:
        """Append an item.

        Args:
            item: The item.
            ticket: Position of the item in the output, counted from 0. The call waits until every smaller
                ticket was put, so several threads can fill one queue in order.

        Returns:
            True if the item was appended, False if the queue has ended.
        """
        with self._changed:
            while not self._ended and not self._accepts(ticket):
                self._changed.wait()
            if self._ended:
                return False
            if len(self._items) >= self._capacity:
                self._items.popleft()
                self.dropped += 1
            self._next_ticket += 1
            self._items.append(item)
            self._changed.notify_all()
            return True

    def take(self, *, timeout: float | None = None) -> T | None:
        """Remove and return the oldest item.

        Args:
            timeout: Maximum seconds to wait for an item. None waits until one comes or the queue ends; 0
                doesn't wait.

        Returns:
            The item. None after `timeout`, and once the queue has ended and is empty.

        Raises:
            Exception: The error that `end` was given, once the queue is empty. Not with `timeout=0`.
        """
        with self._changed:
            if not self._wait_for_item(timeout):
                return None
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def peek(self, *, timeout: float | None = None) -> T | None:
        """Return the oldest item and leave it in the queue; otherwise as `take`."""
        with self._changed:
            return self._items[0] if self._wait_for_item(timeout) else None

    def remove(self, item: T) -> None:
        """Remove an item that `peek` returned, unless it was dropped or taken since."""
        with self._changed:
            if self._items and self._items[0] is item:
                self._items.popleft()
                self._changed.notify_all()

    def put_back(self, items: Sequence[T]) -> None:
        """Return items to the front of the queue, in their order.

        If there isn't room for all of them, the oldest are dropped and counted.
        """
        with self._changed:
            room = self._capacity - len(self._items)
            kept = items[max(0, len(items) - room) :]
            self.dropped += len(items) - len(kept)
            self._items.extendleft(reversed(kept))
            self._changed.notify_all()

    def end(self, error: Exception | None = None) -> None:
        """Accept no further item. Waiting items can still be taken; then `take` raises the error, if any.

        Args:
            error: Reason of a failure. Of several calls the first error is kept.
        """
        with self._changed:
            self._ended = True
            self._error = self._error or error
            self._changed.notify_all()

    def cancel(self) -> None:
        """Accept no further item and discard those that wait."""
        with self._changed:
            self._items.clear()
            self.end()

    def _accepts(self, ticket: int | None) -> bool:
        has_room = self._drop_oldest or len(self._items) < self._capacity
        return has_room and ticket in (None, self._next_ticket)

    def _wait_for_item(self, timeout: float | None) -> bool:
        """Return True as soon as an item is there, False after `timeout` or at the end.

        Raises:
            Exception: See `take`.
        """
        if not self._items and timeout != 0:
            self._changed.wait_for(lambda: self._items or self._ended, timeout)
            if not self._items and self._error is not None:
                raise self._error
        return bool(self._items)
