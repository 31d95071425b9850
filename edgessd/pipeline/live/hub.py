"""Hub of the live page: pictures, history, status and controls, which all viewers share."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

import anyio
import anyio.to_thread

from edgessd.core.drawing import class_color
from edgessd.pipeline.live.history import History
from edgessd.pipeline.live.pictures import Pictures
from edgessd.pipeline.status import PipelineStatus
from edgessd.version import __version__

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

    from edgessd.pipeline.controls import Controls
    from edgessd.pipeline.result import Result
    from edgessd.pipeline.sinks.metrics import Metrics

_log = logging.getLogger(__name__)


class Watched(Protocol):
    """The part of a `Pipeline` that a live page uses."""

    controls: Controls

    def status(self) -> PipelineStatus:
        """Return the present status."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Extras:
    """Contents of a live page besides the pipeline's measurements.

    Attributes:
        model: Name of the detector.
        celsius: Reads the temperature; returns None if it isn't known.
        metrics: Metrics of the page `/metrics`; None for no such page.
    """

    model: str = ""
    celsius: Callable[[], float | None] = lambda: None
    metrics: Metrics | None = None


class Hub:
    """Hub of one live page.

    Args:
        pipeline: Pipeline to show and control.
        extras: Further contents.
        stall_seconds: Maximum seconds in which a viewer may read nothing.
    """

    def __init__(self, pipeline: Watched, extras: Extras, *, stall_seconds: float) -> None:
        self.controls = pipeline.controls
        self.extras = extras
        self.stall_seconds = stall_seconds
        self.history = History(extras.celsius)
        self.viewers = 0
        self._pipeline = pipeline
        self._status = pipeline.status()
        self.stream_count = len(self._status.streams)
        self.pictures = Pictures(self.stream_count)
        self.tick = anyio.Event()
        self._sampled_at = time.monotonic()

    def take(self, result: Result) -> None:
        """Take one result, on the pipeline's thread."""
        self.history.record(result)
        if self.extras.metrics is not None:
            self.extras.metrics.add(result)
        self.pictures.offer(result)

    async def sample_each_second(self) -> None:
        """Add a sample to the history and notify every viewer, once per second."""
        while True:
            await anyio.sleep(max(0.0, self._sampled_at + 1 - time.monotonic()))
            self._sampled_at = max(self._sampled_at + 1, time.monotonic() - 1)
            await anyio.to_thread.run_sync(self._sample)
            self.announce()

    def announce(self) -> None:
        """Notify every viewer at once, for example of a changed threshold."""
        self.tick.set()
        self.tick = anyio.Event()

    def log_stalled(self, websocket: WebSocket | None) -> None:
        """Log that a stalled viewer was disconnected."""
        client = websocket.client if websocket is not None else None
        _log.info(
            "A viewer of the live page%s read nothing for %g s and was disconnected",
            f" ({client.host})" if client else "",
            self.stall_seconds,
            extra={"edgessd": {"event": "viewer_stalled"}},
        )

    async def status(self) -> dict[str, Any]:
        """Return the answer of `/api/status`. The pipeline's status in it is up to a second old."""
        status = self._status
        return {
            "version": __version__,
            "model": self.extras.model,
            "uptime_seconds": round(status.uptime_seconds, 1),
            "frames": status.frames,
            "fps": round(status.fps, 2),
            "stages": {name: _rounded(latency) for name, latency in status.stages.items()},
            "streams": [
                {**asdict(stream), "fps": round(stream.fps, 2), "delay": _rounded(stream.delay)}
                for stream in status.streams
            ],
            "sinks": [asdict(sink) for sink in status.sinks],
            "sample": self.history.latest(),
            "viewers": self.viewers,
            "controls": self.control_values(),
            "frames_with": self.history.frames_with(),
        }

    def control_values(self) -> dict[str, Any]:
        """Return the settings in the answer of `/api/controls`."""
        chosen = self.controls.classes
        return {
            "score_threshold": round(self.controls.score_threshold, 4),
            "classes": None if chosen is None else sorted(chosen),
        }

    def labels(self) -> list[dict[str, str]]:
        """Return every class with the color of its boxes."""
        return [
            {"name": label, "color": "#{2:02x}{1:02x}{0:02x}".format(*class_color(number))}
            for number, label in enumerate(self.controls.labels)
        ]

    def _sample(self) -> None:
        self._status = self._pipeline.status()
        self.history.sample(sum(stream.dropped for stream in self._status.streams))


def _rounded(latency: Any) -> dict[str, float]:
    return {name: round(value, 3) for name, value in asdict(latency).items()}
