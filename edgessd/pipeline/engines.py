"""Open the number of engines that suits the source, and share the threads among them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgessd.runtime.detector import Detector


def open_detectors(
    open_one: Callable[[int | None], Detector],
    *,
    live: bool,
    threads: int | None = None,
    engines: int | None = None,
) -> tuple[Detector, ...]:
    """Open one engine or several.

    A live source gets one engine with all threads, which gives the shortest delay. A file gets one engine
    per thread: no thread then waits for another within an operator, so the same cores give more frames per
    second. An accelerator is always one engine.

    Args:
        open_one: Opens the model with a number of threads; None means the target's default.
        live: True for a live source.
        threads: Number of threads of all engines together; None for the target's default.
        engines: Number of engines; None for the number described above.

    Raises:
        BundleError, BackendError: Raised by `open_one`. Engines opened before are closed.
    """
    with ExitStack() as undo:

        def opened(each: int | None) -> Detector:
            detector = open_one(each)
            undo.callback(detector.close)
            return detector

        if engines is None:
            first = opened(threads)
            # Only backends that run on the CPU state a number of threads.
            on_cpu = int(first.details.get("threads", 1))
            if live or on_cpu == 1:
                undo.pop_all()
                return (first,)
            first.close()
            threads = engines = on_cpu
        each = None if threads is None and engines == 1 else _share(threads, engines)
        detectors = tuple(opened(each) for _ in range(engines))
        undo.pop_all()
        return detectors


def _share(threads: int | None, engines: int) -> int:
    """Return the number of threads of each engine: equal shares, at least one."""
    from edgessd.runtime.catalog import default_threads

    return max(1, (threads or default_threads()) // engines)
