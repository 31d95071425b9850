"""Run a sink behind a bounded queue, so that a slow sink holds up neither the engine nor other sinks."""

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

# Enough for a short pause of the sink; at 1080p the frames hold 50 MB.
_CAPACITY = 8
_DRAIN_SECONDS = 10.0


class SinkWorker:
    """Runs one sink.

    Args:
        sink: The sink; `close` closes it.
        live: True for a live source, which must not wait for any sink.
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
        """Present status of the sink."""
        return SinkStatus(
            name=self._sink.name,
            written=self._written,
            lost=self._results.dropped,
            failed=self._failed,
        )

    def put(self, result: Result) -> None:
        """Queue a result for the sink.

        If the queue is full, the call waits for a lossless sink of a file; otherwise the oldest result is
        dropped.

        Raises:
            Exception: The sink raised another error than SinkError, which is a bug.
        """
        if self._bug is not None:
            raise self._bug
        if self._thread is None:
            self._write(result)
            return
        self._results.put(result)

    def close(self) -> None:
        """Write the waiting results, then close the sink. A sink that hangs is given up after 10 seconds.

        Raises:
            Exception: The sink raised another error than SinkError, and `put` hasn't raised it yet.
        """
        if self._thread is None:
            self._close()
        else:
            self._results.end()
            self._thread.join(_DRAIN_SECONDS)
            if self._thread.is_alive() and self._failed is None:
                self._fail(f"It didn't end within {_DRAIN_SECONDS:.0f} s.")
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
            "%s stopped, the other outputs continue. %s",
            self._sink.name,
            reason,
            extra={"edgessd": {"event": "sink_failed", "sink": self._sink.name, "reason": reason}},
        )
