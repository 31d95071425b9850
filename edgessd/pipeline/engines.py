"""How many engines run side by side, and on how many threads each."""

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
    """Open what suits the source, unless `engines` says otherwise.

    A live source gets one engine on all threads: each frame is through soonest. The frames of a file
    get one engine a thread: none then waits for another within an operator, and more frames a second
    come out of the same cores. An accelerator is one engine in either case.

    Args:
        open_one: Opens the model on so many threads; None stands for the target's own number.
        live: Whether frames come at their own pace.
        threads: In all.
        engines: Number of engines.

    Raises:
        BundleError, BackendError: From `open_one`; what was opened before is closed.
    """
    with ExitStack() as undo:

        def opened(each: int | None) -> Detector:
            detector = open_one(each)
            undo.callback(detector.close)
            return detector

        if engines is None:
            first = opened(threads)
            # Only backends that run on the CPU state threads.
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
    """Threads of each engine: an equal share, one at least."""
    from edgessd.runtime.catalog import default_threads

    return max(1, (threads or default_threads()) // engines)
