"""Tells systemd while frames flow, and the log once a minute how they do.

The watchdog must catch what no error tells of: an engine that hangs in its driver, threads that wait for
each other. A camera that is away isn't such a case: it is being reconnected, and a restart would only lose
what the outputs hold.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgessd.pipeline.live.hub import Watched
    from edgessd.pipeline.notify import Notifier
    from edgessd.pipeline.status import PipelineStatus

_log = logging.getLogger(__name__)
_LONGEST_PAUSE = 5.0


class Heartbeat:
    """A thread beside a running pipeline; use it as a context manager inside the pipeline's own.

    Args:
        pipeline: Whose frames are counted.
        notifier: To whom they are told; None where nobody asks.
        log_seconds: Between two lines in the log; None for none.
    """

    def __init__(
        self,
        pipeline: Watched,
        notifier: Notifier | None = None,
        *,
        log_seconds: float | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._notifier = notifier
        self._log_seconds = log_seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="edgessd-heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        if self._notifier is not None:
            self._notifier.ready()
        if self._notifier is not None or self._log_seconds is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=5)
        if self._notifier is not None:
            self._notifier.stopping()
            self._notifier.close()

    def _beat(self) -> None:
        pause = self._pause()
        before = -1
        logged = time.monotonic()
        while not self._ended.wait(pause):
            status = self._pipeline.status()
            moved, before = status.frames != before, status.frames
            if self._notifier is not None:
                if moved or not all(stream.connected for stream in status.streams):
                    self._notifier.alive()
                self._notifier.status(_line(status))
            due = self._log_seconds is not None and time.monotonic() - logged >= self._log_seconds
            if due:
                logged = time.monotonic()
                _log.info("%s", _line(status), extra={"edgessd": _fields(status)})

    def _pause(self) -> float:
        """Often enough that one beat may come late."""
        wanted = [_LONGEST_PAUSE]
        if self._notifier is not None and self._notifier.watchdog_seconds is not None:
            wanted.append(self._notifier.watchdog_seconds / 3)
        if self._log_seconds is not None:
            wanted.append(self._log_seconds)
        return min(wanted)


def _line(status: PipelineStatus) -> str:
    words = [f"{status.fps:.1f} FPS", f"{status.stages['delay'].p95_ms:.0f} ms from capture (p95)"]
    words.append(f"{status.frames} frames")
    if dropped := sum(stream.dropped for stream in status.streams):
        words.append(f"{dropped} dropped")
    words += [f"{stream.name} is away" for stream in status.streams if not stream.connected]
    words += [f"{sink.name} has failed" for sink in status.sinks if sink.failed is not None]
    return ", ".join(words)


def _fields(status: PipelineStatus) -> dict[str, object]:
    return {
        "event": "status",
        "fps": round(status.fps, 2),
        "frames": status.frames,
        "delay_ms": {
            "p50": round(status.stages["delay"].p50_ms, 2),
            "p95": round(status.stages["delay"].p95_ms, 2),
        },
        "streams": [
            {
                "source": stream.name,
                "connected": stream.connected,
                "frames": stream.frames,
                "dropped": stream.dropped,
                "reconnects": stream.reconnects,
                "fps": round(stream.fps, 2),
            }
            for stream in status.streams
        ],
        "sinks": [
            {"sink": sink.name, "written": sink.written, "lost": sink.lost, "failed": sink.failed}
            for sink in status.sinks
        ],
    }
