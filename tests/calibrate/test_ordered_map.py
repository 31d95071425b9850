"""Results come in order, from a bounded number of items at a time."""

from __future__ import annotations

import time

import pytest

from edgessd.calibrate.ordered_map import ordered_map


def test_slow_items_keep_their_place() -> None:
    def work(delay: float) -> float:
        time.sleep(delay)
        return delay

    delays = [0.05, 0.0, 0.02, 0.0, 0.01]
    assert list(ordered_map(work, delays, workers=3)) == delays


def test_no_more_items_are_started_than_the_caller_can_take() -> None:
    started: list[int] = []

    def work(item: int) -> int:
        started.append(item)
        return item

    results = ordered_map(work, range(100), workers=2)
    assert next(results) == 0
    assert len(started) <= 3
    results.close()  # type: ignore[attr-defined]


def test_an_error_reaches_the_caller() -> None:
    def work(item: int) -> int:
        if item == 2:
            raise ValueError("item 2")
        return item

    results = ordered_map(work, range(5))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="item 2"):
        next(results)
