"""History of the last ten minutes, one sample per second, for the plots of the live page."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from edgessd.pipeline.meter import Latency
from edgessd.pipeline.records import event_record

if TYPE_CHECKING:
    from edgessd.pipeline.result import Result

_SECONDS = 600
_EVENTS = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """Measurements of about one second.

    Attributes:
        time: Unix seconds at its end.
        fps: Results of all streams per second.
        latency_p50_ms: Median sum of the stages in milliseconds; None without a result.
        delay_p50_ms, delay_p95_ms: Time from capture to result in milliseconds; None without a result.
        dropped: Dropped frames of live sources per second.
        celsius: Temperature of the hottest processor sensor; None without a sensor.
    """

    time: float
    fps: float
    latency_p50_ms: float | None
    delay_p50_ms: float | None
    delay_p95_ms: float | None
    dropped: float
    celsius: float | None


class History:
    """Collects results on the pipeline's thread; any thread may read the samples.

    Args:
        celsius: Reads the temperature.
    """

    def __init__(self, celsius: Callable[[], float | None]) -> None:
        self._celsius = celsius
        self._lock = threading.Lock()
        self._totals: list[float] = []
        self._delays: list[float] = []
        self._since = time.perf_counter()
        self._dropped = 0
        self._samples: deque[Sample] = deque(maxlen=_SECONDS)
        self._events: deque[dict[str, Any]] = deque(maxlen=_EVENTS)
        self._event_count = 0
        self._seen: Counter[str] = Counter()

    def record(self, result: Result) -> None:
        """Record one result."""
        with self._lock:
            self._totals.append(result.seconds.total)
            self._delays.append(result.delay)
            for class_id in set(result.detections.class_ids.tolist()):
                self._seen[result.detections.labels[class_id]] += 1
            for event in result.events:
                self._event_count += 1
                self._events.append({"number": self._event_count, **event_record(event)})

    def sample(self, dropped: int) -> Sample:
        """Complete the sample of the present second.

        Args:
            dropped: Number of frames that the pipeline has dropped since its start.
        """
        celsius = self._celsius()
        with self._lock:
            now = time.perf_counter()
            seconds, self._since = max(now - self._since, 1e-3), now
            totals, self._totals = self._totals, []
            delays, self._delays = self._delays, []
            lost, self._dropped = dropped - self._dropped, dropped
            delay = Latency.of(delays) if delays else None
            sample = Sample(
                time=round(time.time(), 3),
                fps=round(len(totals) / seconds, 2),
                latency_p50_ms=round(Latency.of(totals).p50_ms, 2) if totals else None,
                delay_p50_ms=round(delay.p50_ms, 2) if delay else None,
                delay_p95_ms=round(delay.p95_ms, 2) if delay else None,
                dropped=round(lost / seconds, 2),
                celsius=None if celsius is None else round(celsius, 1),
            )
            self._samples.append(sample)
            return sample

    def samples(self) -> list[dict[str, Any]]:
        """Return the samples of the last ten minutes, oldest first."""
        with self._lock:
            return [asdict(sample) for sample in self._samples]

    def latest(self) -> dict[str, Any] | None:
        """Return the newest sample; None before the first."""
        with self._lock:
            return asdict(self._samples[-1]) if self._samples else None

    def events_after(self, number: int) -> list[dict[str, Any]]:
        """Return those of the last hundred events that are newer than event `number`, oldest first."""
        with self._lock:
            return [event for event in self._events if event["number"] > number]

    def frames_with(self) -> dict[str, int]:
        """Return the number of results with each label."""
        with self._lock:
            return dict(self._seen)
