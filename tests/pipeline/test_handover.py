"""A hand-over between stages: bounded, in order, ended by either side."""

from __future__ import annotations

import threading
import time

import pytest

from edgessd.pipeline.handover import Handover


def test_a_handover_holds_no_more_than_its_depth() -> None:
    handover: Handover[int] = Handover(depth=2)
    given = []

    def give() -> None:
        for number in range(5):
            handover.put(number)
            given.append(number)
        handover.end()

    thread = threading.Thread(target=give)
    thread.start()
    time.sleep(0.05)
    assert given == [0, 1]
    assert [handover.take() for _ in range(6)] == [0, 1, 2, 3, 4, None]
    thread.join()


def test_a_handover_says_at_once_that_nothing_waits() -> None:
    handover: Handover[int] = Handover()
    assert handover.take(wait=False) is None
    handover.end(ValueError("broken"))
    assert handover.take(wait=False) is None
    with pytest.raises(ValueError, match="broken"):
        handover.take()
    assert not handover.put(1)


def test_items_of_several_threads_come_in_the_order_of_their_tickets() -> None:
    handover: Handover[int] = Handover()

    def give(tickets: range) -> None:
        for ticket in tickets:
            assert handover.put(ticket, ticket)

    threads = [threading.Thread(target=give, args=(range(start, 60, 3),)) for start in (2, 0, 1)]
    for thread in threads:
        thread.start()
    assert [handover.take() for _ in range(60)] == list(range(60))
    for thread in threads:
        thread.join()


def test_the_end_wakes_whoever_waits_for_their_turn() -> None:
    handover: Handover[int] = Handover()
    taken = []
    thread = threading.Thread(target=lambda: taken.append(handover.put(7, ticket=1)))
    thread.start()
    time.sleep(0.02)
    handover.end()
    thread.join(5)
    assert taken == [False]
