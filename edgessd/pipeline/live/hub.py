"""What all viewers of the live page share: the pictures, the history, the status, the controls."""

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
    """What a live page needs of a `Pipeline`."""

    controls: Controls

    def status(self) -> PipelineStatus:
        """How it is doing now."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Extras:
    """What a live page shows beside the pipeline's own figures.

    Attributes:
        model: Name of the detector.
        celsius: Reads the temperature; None where it isn't known.
        metrics: What `/metrics` answers; None leaves that page out.
    """

    model: str = ""
    celsius: Callable[[], float | None] = lambda: None
    metrics: Metrics | None = None


class Hub:
    """One for each live page.

    Args:
        pipeline: What is watched and controlled.
        extras: What else is shown.
        stall_seconds: How long a viewer may leave what it was sent unread.
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
        """One result, on the pipeline's thread."""
        self.history.record(result)
        if self.extras.metrics is not None:
            self.extras.metrics.add(result)
        self.pictures.offer(result)

    async def sample_each_second(self) -> None:
        """Keep the history; every viewer is told after each second."""
        while True:
            await anyio.sleep(max(0.0, self._sampled_at + 1 - time.monotonic()))
            self._sampled_at = max(self._sampled_at + 1, time.monotonic() - 1)
            await anyio.to_thread.run_sync(self._sample)
            self.announce()

    def announce(self) -> None:
        """Tell every viewer now, as when somebody has moved the threshold."""
        self.tick.set()
        self.tick = anyio.Event()

    def say_stalled(self, websocket: WebSocket | None) -> None:
        """Log that a viewer was given up."""
        client = websocket.client if websocket is not None else None
        _log.info(
            "A viewer of the live page%s read nothing for %g s and was let go",
            f" ({client.host})" if client else "",
            self.stall_seconds,
            extra={"edgessd": {"event": "viewer_stalled"}},
        )

    async def status(self) -> dict[str, Any]:
        """What `/api/status` answers; the pipeline is asked once a second, whoever looks."""
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
        """What `/api/controls` answers."""
        wanted = self.controls.classes
        return {
            "score_threshold": round(self.controls.score_threshold, 4),
            "classes": None if wanted is None else sorted(wanted),
        }

    def labels(self) -> list[dict[str, str]]:
        """Every class with the colour of its boxes."""
        return [
            {"name": label, "color": "#{2:02x}{1:02x}{0:02x}".format(*class_color(number))}
            for number, label in enumerate(self.controls.labels)
        ]

    def _sample(self) -> None:
        self._status = self._pipeline.status()
        self.history.sample(sum(stream.dropped for stream in self._status.streams))


def _rounded(latency: Any) -> dict[str, float]:
    return {name: round(value, 3) for name, value in asdict(latency).items()}
