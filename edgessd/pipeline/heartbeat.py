"""Notify systemd while results come, and write the status to the log at an interval.

The watchdog catches faults that raise no error: an engine that hangs in its driver, threads that wait for
each other. An unreachable camera isn't such a fault: it is being opened again, and a restart would lose
what the sinks hold.
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
    """Watches a running pipeline on a thread. Use it as a context manager inside the pipeline's own.

    Args:
        pipeline: Pipeline whose frames are counted.
        notifier: Connection to systemd; None outside a service.
        log_seconds: Seconds between two status lines in the log; None for no such lines.
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
            progressed, before = status.frames != before, status.frames
            if self._notifier is not None:
                if progressed or not all(stream.connected for stream in status.streams):
                    self._notifier.alive()
                self._notifier.status(_line(status))
            due = self._log_seconds is not None and time.monotonic() - logged >= self._log_seconds
            if due:
                logged = time.monotonic()
                _log.info("%s", _line(status), extra={"edgessd": _fields(status)})

    def _pause(self) -> float:
        """Return the seconds between two beats: a third of the watchdog's, so that one may come late."""
        pauses = [_LONGEST_PAUSE]
        if self._notifier is not None and self._notifier.watchdog_seconds is not None:
            pauses.append(self._notifier.watchdog_seconds / 3)
        if self._log_seconds is not None:
            pauses.append(self._log_seconds)
        return min(pauses)


def _line(status: PipelineStatus) -> str:
    parts = [f"{status.fps:.1f} FPS", f"{status.stages['delay'].p95_ms:.0f} ms from capture (p95)"]
    parts.append(f"{status.frames} frames")
    if dropped := sum(stream.dropped for stream in status.streams):
        parts.append(f"{dropped} dropped")
    parts += [f"{stream.name} is unreachable" for stream in status.streams if not stream.connected]
    parts += [f"{sink.name} has failed" for sink in status.sinks if sink.failed is not None]
    return ", ".join(parts)


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
