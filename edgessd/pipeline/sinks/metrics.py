"""Metrics for Prometheus: status of the pipeline, and counts of detections and events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgessd.core.errors import SinkError
from edgessd.version import __version__

if TYPE_CHECKING:
    from edgessd.pipeline.events import RegionState
    from edgessd.pipeline.meter import Latency
    from edgessd.pipeline.result import Result
    from edgessd.pipeline.status import PipelineStatus

_PERCENTILES = ("p50", "p95", "p99")


class Metrics:
    """Collects the metrics of `/metrics`. They are computed at each scrape.

    Args:
        status: Returns the status of the pipeline.
        labels: Classes of each stream listed from the start, with 0; others are listed once they are
            detected.

    Raises:
        SinkError: prometheus-client isn't installed.
    """

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(
        self,
        status: Callable[[], PipelineStatus],
        *,
        labels: Mapping[int, Sequence[str]] | None = None,
    ) -> None:
        try:
            from prometheus_client import CollectorRegistry, ProcessCollector
        except ImportError as error:
            raise SinkError(
                "/metrics needs the package prometheus-client",
                found=str(error),
                fix="`pip install 'edgessd[metrics]'`, or `pip install prometheus-client`.",
            ) from error
        self._status, self._labels = status, labels or {}
        self._detections: Counter[tuple[int, str]] = Counter()
        self._events: Counter[tuple[int, str, str, str, str]] = Counter()
        self._regions: dict[tuple[int, str], RegionState] = {}
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.registry.register(self)

    def add(self, result: Result) -> None:
        """Count the contents of a result. One thread may add while others scrape."""
        stream = result.frame.stream
        for label, _, _ in result.detections.named():
            self._detections[stream, label] += 1
        for event in result.events:
            key = (stream, event.kind, event.region or "", event.direction or "", event.label)
            self._events[key] += 1
        for region in result.regions:
            self._regions[stream, region.name] = region

    def text(self) -> bytes:
        """Return the page in Prometheus' text format (`content_type`)."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)

    def describe(self) -> list[Any]:
        """Return no description, so that prometheus-client registers this collector without a scrape."""
        return []

    def collect(self) -> Iterator[Any]:
        """Yield the metric families: the interface of a collector of prometheus-client."""
        from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily

        status = self._status()
        info = InfoMetricFamily("edgessd", "What is running")
        info.add_metric([], {"version": __version__})
        yield info
        yield GaugeMetricFamily(
            "edgessd_uptime_seconds", "Time since the pipeline started", value=status.uptime_seconds
        )
        yield from self._stages(status)
        yield from _streams(status)
        yield from _sinks(status)
        yield from self._seen(len(status.streams))

    def _stages(self, status: PipelineStatus) -> Iterator[Any]:
        from prometheus_client.core import GaugeMetricFamily

        family = GaugeMetricFamily(
            "edgessd_stage_seconds",
            "Duration of a stage over the last frames; delay is from capture to result",
            labels=["stage", "percentile"],
        )
        for stage, latency in status.stages.items():
            _add_percentiles(family, [stage], latency)
        yield family

    def _seen(self, streams: int) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        family = CounterMetricFamily(
            "edgessd_detections", "Detections of all frames", labels=["stream", "label"]
        )
        zeros = {
            (stream, label): 0
            for stream in range(streams)
            for label in self._labels.get(stream, ())
        }
        for (stream, label), count in sorted({**zeros, **self._detections}.items()):
            family.add_metric([str(stream), label], count)
        yield family
        family = CounterMetricFamily(
            "edgessd_events",
            "Events of tracked objects",
            labels=["stream", "kind", "region", "direction", "label"],
        )
        for (stream, *names), count in sorted(dict(self._events).items()):
            family.add_metric([str(stream), *names], count)
        yield family
        inside = GaugeMetricFamily(
            "edgessd_zone_objects",
            "Objects in a zone at present",
            labels=["stream", "region", "label"],
        )
        for (stream, name), region in sorted(dict(self._regions).items()):
            for label in sorted({*region.entered, *region.inside}):
                inside.add_metric([str(stream), name, label], region.inside.get(label, 0))
        yield inside


def _streams(status: PipelineStatus) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    names = ["stream", "source"]
    counters = {
        "frames": ("frames", "Results"),
        "dropped": (
            "dropped_frames",
            "Frames of a live source dropped because the engine was busy",
        ),
        "skipped": ("skipped_frames", "Pictures that could not be decoded"),
        "reconnects": ("reconnects", "Times that the source was opened again"),
    }
    for key, (name, text) in counters.items():
        family = CounterMetricFamily(f"edgessd_stream_{name}", text, labels=names)
        for number, stream in enumerate(status.streams):
            family.add_metric([str(number), stream.name], getattr(stream, key))
        yield family
    gauges = {
        "fps": "Results per second over the last frames",
        "connected": "1, or 0 during an outage",
    }
    for key, text in gauges.items():
        gauge = GaugeMetricFamily(f"edgessd_stream_{key}", text, labels=names)
        for number, stream in enumerate(status.streams):
            gauge.add_metric([str(number), stream.name], float(getattr(stream, key)))
        yield gauge
    delay = GaugeMetricFamily(
        "edgessd_stream_delay_seconds", "Time from capture to result", labels=[*names, "percentile"]
    )
    for number, stream in enumerate(status.streams):
        _add_percentiles(delay, [str(number), stream.name], stream.delay)
    yield delay


def _sinks(status: PipelineStatus) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    for key, text in (
        ("written", "Results written by an output"),
        ("lost", "Results dropped because an output was busy"),
    ):
        family = CounterMetricFamily(f"edgessd_sink_{key}", text, labels=["sink"])
        for sink in status.sinks:
            family.add_metric([sink.name], getattr(sink, key))
        yield family
    failed = GaugeMetricFamily(
        "edgessd_sink_failed", "1 once an output has failed", labels=["sink"]
    )
    for sink in status.sinks:
        failed.add_metric([sink.name], float(sink.failed is not None))
    yield failed


def _add_percentiles(family: Any, names: list[str], latency: Latency) -> None:
    for percentile in _PERCENTILES:
        family.add_metric([*names, percentile], getattr(latency, f"{percentile}_ms") / 1e3)


class MetricsSink:
    """Serves `http://host:port/metrics`.

    Args:
        metrics: Metrics to serve.
        host: Address to listen on: 127.0.0.1 for this machine only, 0.0.0.0 for all networks.
        port: Port to listen on; 0 for any free port.

    Attributes:
        url: URL of the page.

    Raises:
        SinkError: The port is taken, or the address isn't one of this machine.
    """

    lossless = True
    own_thread = True

    def __init__(self, metrics: Metrics, *, host: str = "127.0.0.1", port: int = 9464) -> None:
        from prometheus_client import start_http_server

        self.metrics = metrics
        try:
            self._server, self._thread = start_http_server(
                port, addr=host, registry=metrics.registry
            )
        except (OSError, OverflowError) as error:
            raise SinkError(
                f"/metrics can't be served on {host}:{port}",
                found=getattr(error, "strerror", None) or str(error),
                fix="Choose another with --metrics PORT or --metrics HOST:PORT.",
            ) from error
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._server.server_port}/metrics"
        self.name = f"metrics on {self.url}"

    def write(self, result: Result) -> None:
        self.metrics.add(result)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
