"""A sink behind a bounded hand-over, so that a slow one holds up neither the engine nor the others."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from edgessd.core.errors import SinkError
from edgessd.pipeline.bounded_queue import BoundedQueue
from edgessd.pipeline.status import SinkStatus

if TYPE_CHECKING:
    from edgessd.pipeline.result import Result
    from edgessd.pipeline.sinks.sink import Sink

_log = logging.getLogger(__name__)

# A few frames even out a hiccup; at 1080p they hold 50 MB.
_CAPACITY = 8
_DRAIN_SECONDS = 10.0


class SinkWorker:
    """Runs one sink.

    Args:
        sink: Closed by `close`.
        live: Whether results come at their own pace, so that even a lossless sink must not hold them up.
    """

    def __init__(self, sink: Sink, *, live: bool) -> None:
        self._sink = sink
        drop_oldest = live or not sink.lossless
        self._results: BoundedQueue[Result] = BoundedQueue(_CAPACITY, drop_oldest=drop_oldest)
        self._written = 0
        self._failed: str | None = None
        self._bug: Exception | None = None
        self._thread: threading.Thread | None = None
        if sink.own_thread:
            self._thread = threading.Thread(
                target=self._work, name=f"edgessd-sink {sink.name}", daemon=True
            )
            self._thread.start()

    @property
    def status(self) -> SinkStatus:
        """Counts so far."""
        return SinkStatus(
            name=self._sink.name,
            written=self._written,
            lost=self._results.dropped,
            failed=self._failed,
        )

    def put(self, result: Result) -> None:
        """Hand a result over; whoever is late loses the oldest that waits, or makes the caller wait.

        Raises:
            Exception: A bug of the sink: anything but the SinkError that it may end with.
        """
        if self._bug is not None:
            raise self._bug
        if self._thread is None:
            self._write(result)
            return
        self._results.put(result)

    def close(self) -> None:
        """Write what waits, then close the sink. One that hangs is given up after a while.

        Raises:
            Exception: A bug of the sink that nobody has been told of.
        """
        if self._thread is None:
            self._close()
        else:
            self._results.end()
            self._thread.join(_DRAIN_SECONDS)
            if self._thread.is_alive() and self._failed is None:
                self._fail(f"It still wasn't done {_DRAIN_SECONDS:.0f} s after the end.")
        bug, self._bug = self._bug, None
        if bug is not None:
            raise bug

    def _work(self) -> None:
        try:
            while (result := self._results.take()) is not None:
                self._write(result)
            self._close()
        except Exception as bug:  # noqa: BLE001 - raised again by `put` or `close`
            self._bug = bug
        finally:
            self._results.end()

    def _write(self, result: Result) -> None:
        if self._failed is not None:
            return
        try:
            self._sink.write(result)
        except SinkError as error:
            self._fail(error.paragraph())
            self._close()
        else:
            self._written += 1

    def _close(self) -> None:
        try:
            self._sink.close()
        except SinkError as error:
            if self._failed is None:
                self._fail(error.paragraph())

    def _fail(self, reason: str) -> None:
        self._failed = reason
        _log.warning(
            "%s stopped, the rest goes on. %s",
            self._sink.name,
            reason,
            extra={"edgessd": {"event": "sink_failed", "sink": self._sink.name, "reason": reason}},
        )
