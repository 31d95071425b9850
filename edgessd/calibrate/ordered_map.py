"""Work on items with a few threads, and take the results in the items' order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

WORKERS = 2
"""Images in flight. Two runs on one thread each finish sooner than one run on two threads: each fills the
gaps of the other while it decodes and scans."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int = WORKERS
) -> Iterator[Result]:
    """Yield `function` of each item in order.

    At most `workers` + 1 results wait for the caller, so memory doesn't grow with the number of items.

    Args:
        function: Function that several threads may call at a time.
        items: Arguments.
        workers: Number of threads.
    """
    with ThreadPoolExecutor(workers) as pool:
        ahead: deque[Future[Result]] = deque()
        for item in items:
            ahead.append(pool.submit(function, item))
            if len(ahead) > workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
