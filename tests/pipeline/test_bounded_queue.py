"""The queue between two threads: capacity, order, dropped items, waiting, timeouts, end and errors."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from edgessd.pipeline.bounded_queue import BoundedQueue

Start = Callable[..., "Future[Any]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Run a function on a thread of its own."""
    with ThreadPoolExecutor(8) as threads:
        yield threads.submit


def require_waiting(*calls: Future[Any]) -> None:
    """Require that every call is still blocked after a moment."""
    time.sleep(0.05)
    assert not any(call.done() for call in calls)


def filled(capacity: int, *, drop_oldest: bool = False) -> BoundedQueue[int]:
    queue: BoundedQueue[int] = BoundedQueue(capacity, drop_oldest=drop_oldest)
    for number in range(capacity):
        assert queue.put(number)
    return queue


def rest_of(queue: BoundedQueue[int]) -> list[int]:
    return list(iter(lambda: queue.take(timeout=0), None))


@pytest.mark.parametrize("capacity", [0, -1])
def test_a_capacity_below_one_is_refused(capacity: int) -> None:
    with pytest.raises(ValueError, match=f"at least 1, not {capacity}"):
        BoundedQueue(capacity)


@pytest.mark.parametrize("capacity", [1, 2, 5])
def test_put_waits_for_room_in_a_full_queue(capacity: int, start: Start) -> None:
    queue = filled(capacity)
    put = start(queue.put, capacity)
    require_waiting(put)
    assert len(queue) == capacity
    assert queue.take() == 0
    assert put.result(5) is True
    assert rest_of(queue) == list(range(1, capacity + 1))
    assert queue.dropped == 0


def test_all_items_pass_in_order_between_two_threads(start: Start) -> None:
    queue: BoundedQueue[int] = BoundedQueue(3)

    def fill() -> None:
        for number in range(2000):
            assert queue.put(number)
        queue.end()

    filling = start(fill)
    assert list(iter(queue.take, None)) == list(range(2000))
    filling.result(5)


def test_several_producers_and_consumers_neither_lose_nor_double_an_item(start: Start) -> None:
    queue: BoundedQueue[int] = BoundedQueue(4)

    def fill(numbers: range) -> None:
        for number in numbers:
            assert queue.put(number)

    taking = [start(lambda: list(iter(queue.take, None))) for _ in range(3)]
    filling = [start(fill, range(first, 3000, 4)) for first in range(4)]
    for call in filling:
        call.result(20)
    queue.end()
    taken = [call.result(20) for call in taking]
    assert sorted(item for part in taken for item in part) == list(range(3000))


def test_a_full_queue_drops_its_oldest_items_and_counts_them() -> None:
    queue: BoundedQueue[int] = BoundedQueue(3, drop_oldest=True)
    for number in range(10):
        assert queue.put(number)
    assert len(queue) == 3
    assert queue.dropped == 7
    assert rest_of(queue) == [7, 8, 9]


def test_taken_and_dropped_items_add_up_under_load(start: Start) -> None:
    queue: BoundedQueue[int] = BoundedQueue(1, drop_oldest=True)

    def fill() -> None:
        for number in range(5000):
            queue.put(number)
        queue.end()

    filling = start(fill)
    taken = list(iter(queue.take, None))
    filling.result(20)
    assert taken == sorted(set(taken))
    assert taken[-1] == 4999
    assert len(taken) + queue.dropped == 5000


def test_items_of_several_threads_come_out_in_the_order_of_their_tickets(start: Start) -> None:
    queue: BoundedQueue[int] = BoundedQueue(2)

    def fill(tickets: range) -> None:
        for ticket in tickets:
            assert queue.put(ticket, ticket=ticket)

    filling = [start(fill, range(first, 300, 3)) for first in (2, 0, 1)]
    assert [queue.take() for _ in range(300)] == list(range(300))
    for call in filling:
        call.result(5)


def test_take_waits_for_an_item(start: Start) -> None:
    queue: BoundedQueue[str] = BoundedQueue()
    take = start(queue.take)
    require_waiting(take)
    queue.put("item")
    assert take.result(5) == "item"


def test_take_returns_none_after_its_timeout() -> None:
    queue: BoundedQueue[int] = BoundedQueue()
    before = time.monotonic()
    assert queue.take(timeout=0.05) is None
    assert time.monotonic() - before >= 0.05
    assert not queue.ended
    queue.put(1)
    assert queue.take(timeout=60) == 1


def test_take_without_waiting_returns_at_once() -> None:
    queue = filled(1)
    assert queue.take(timeout=0) == 0
    assert queue.take(timeout=0) is None


@pytest.mark.parametrize("stop", [BoundedQueue.end, BoundedQueue.cancel])
def test_the_end_wakes_threads_that_wait(
    stop: Callable[[BoundedQueue[int]], None], start: Start
) -> None:
    full, empty = filled(1), BoundedQueue[int]()
    puts = [start(full.put, 1), start(empty.put, 7, ticket=1)]
    takes = [start(empty.take), start(empty.take, timeout=60), start(empty.peek)]
    require_waiting(*puts, *takes)
    stop(full)
    stop(empty)
    assert [put.result(5) for put in puts] == [False, False]
    assert [take.result(5) for take in takes] == [None, None, None]


def test_items_that_wait_at_the_end_can_still_be_taken() -> None:
    queue = filled(2)
    queue.end()
    assert queue.ended
    assert queue.put(2) is False
    assert [queue.take() for _ in range(3)] == [0, 1, None]


def test_a_cancelled_queue_is_empty() -> None:
    queue = filled(2)
    queue.cancel()
    assert queue.ended
    assert len(queue) == 0
    assert queue.take() is None


def test_an_ended_queue_drops_nothing() -> None:
    queue = filled(2, drop_oldest=True)
    queue.end()
    assert queue.put(2) is False
    assert queue.dropped == 0
    assert rest_of(queue) == [0, 1]


def test_an_error_reaches_the_taker_after_the_last_item() -> None:
    queue = filled(1)
    queue.end(ValueError("broken"))
    queue.end(ValueError("a consequence"))
    assert queue.take() == 0
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            queue.take()
    with pytest.raises(ValueError, match="broken"):
        queue.take(timeout=1)
    with pytest.raises(ValueError, match="broken"):
        queue.peek()


def test_an_error_wakes_every_taker(start: Start) -> None:
    queue: BoundedQueue[int] = BoundedQueue()
    takes = [start(queue.take) for _ in range(3)]
    require_waiting(*takes)
    queue.end(ValueError("broken"))
    for take in takes:
        with pytest.raises(ValueError, match="broken"):
            take.result(5)


def test_an_error_is_not_raised_to_a_taker_that_does_not_wait() -> None:
    queue: BoundedQueue[int] = BoundedQueue()
    queue.end(ValueError("broken"))
    assert queue.take(timeout=0) is None


def test_peek_leaves_the_item_until_it_is_removed() -> None:
    queue: BoundedQueue[object] = BoundedQueue(2)
    first, second = object(), object()
    queue.put(first)
    queue.put(second)
    assert queue.peek() is first
    assert queue.peek(timeout=0) is first
    queue.remove(first)
    assert queue.peek() is second
    queue.remove(first)
    assert len(queue) == 1


def test_remove_spares_the_item_that_took_the_place_of_a_dropped_one() -> None:
    queue: BoundedQueue[object] = BoundedQueue(1, drop_oldest=True)
    sent, newer = object(), object()
    queue.put(sent)
    assert queue.peek() is sent
    queue.put(newer)
    queue.remove(sent)
    assert queue.take(timeout=0) is newer


def test_remove_makes_room_for_a_waiting_put(start: Start) -> None:
    queue = filled(1)
    put = start(queue.put, 1)
    require_waiting(put)
    queue.remove(0)
    assert put.result(5) is True


def test_items_put_back_come_first_and_in_order() -> None:
    queue: BoundedQueue[int] = BoundedQueue(5, drop_oldest=True)
    queue.put(4)
    queue.put_back([1, 2, 3])
    assert rest_of(queue) == [1, 2, 3, 4]
    assert queue.dropped == 0


@pytest.mark.parametrize(
    ("capacity", "kept"), [(5, [2, 3, 4, 5]), (4, [2, 3, 4, 5]), (3, [3, 4, 5]), (2, [4, 5])]
)
def test_the_oldest_items_put_back_are_dropped_without_room(capacity: int, kept: list[int]) -> None:
    queue: BoundedQueue[int] = BoundedQueue(capacity, drop_oldest=True)
    queue.put(4)
    queue.put(5)
    queue.put_back([2, 3])
    assert rest_of(queue) == kept
    assert queue.dropped == 4 - len(kept)


def test_one_thread_waits_for_several_queues_that_share_a_condition(start: Start) -> None:
    changed = threading.Condition()
    queues: list[BoundedQueue[str]] = [BoundedQueue(condition=changed) for _ in range(2)]

    def take_any() -> str | None:
        with changed:
            while not any(queues) and not all(queue.ended for queue in queues):
                changed.wait()
            return next((item for queue in queues if (item := queue.take(timeout=0))), None)

    take = start(take_any)
    require_waiting(take)
    queues[1].put("second")
    assert take.result(5) == "second"
    take = start(take_any)
    require_waiting(take)
    for queue in queues:
        queue.end()
    assert take.result(5) is None


def test_a_signal_handler_may_end_the_queue_that_its_thread_is_using() -> None:
    changed = threading.Condition()
    queue: BoundedQueue[int] = BoundedQueue(condition=changed)
    with changed:  # as if the signal came within `take`
        queue.end()
    assert queue.take() is None
