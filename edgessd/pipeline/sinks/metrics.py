"""Figures for Prometheus: how the pipeline is doing, and what it has seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
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
    """Collects what `/metrics` shows. Nothing is computed until somebody asks.

    Args:
        status: Of the pipeline, asked at each scrape.
        labels: Classes that are counted from 0; others appear once they are seen.

    Raises:
        SinkError: prometheus-client isn't installed.
    """

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(
        self, status: Callable[[], PipelineStatus], *, labels: tuple[str, ...] = ()
    ) -> None:
        try:
            from prometheus_client import CollectorRegistry, ProcessCollector
        except ImportError as error:
            raise SinkError(
                "/metrics needs the package prometheus-client",
                found=str(error),
                fix="`pip install 'edgessd[metrics]'`, or `pip install prometheus-client`.",
            ) from error
        self._status, self._labels = status, labels
        self._detections: Counter[tuple[int, str]] = Counter()
        self._events: Counter[tuple[int, str, str, str, str]] = Counter()
        self._regions: dict[tuple[int, str], RegionState] = {}
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.registry.register(self)

    def add(self, result: Result) -> None:
        """Count what a result holds. One thread may add while others ask."""
        stream = result.frame.stream
        for label, _, _ in result.detections.named():
            self._detections[stream, label] += 1
        for event in result.events:
            key = (stream, event.kind, event.region or "", event.direction or "", event.label)
            self._events[key] += 1
        for region in result.regions:
            self._regions[stream, region.name] = region

    def text(self) -> bytes:
        """The page, in Prometheus' text format (`content_type`)."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)

    def describe(self) -> list[Any]:
        """Asked by prometheus-client instead of a first scrape, which needs a running pipeline."""
        return []

    def collect(self) -> Iterator[Any]:
        """Metric families, as prometheus-client wants them of a collector."""
        from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily

        status = self._status()
        info = InfoMetricFamily("edgessd", "What is running")
        info.add_metric([], {"version": __version__})
        yield info
        yield GaugeMetricFamily(
            "edgessd_uptime_seconds", "Since the pipeline was made", value=status.uptime_seconds
        )
        yield from self._stages(status)
        yield from _streams(status)
        yield from _sinks(status)
        yield from self._seen(len(status.streams))

    def _stages(self, status: PipelineStatus) -> Iterator[Any]:
        from prometheus_client.core import GaugeMetricFamily

        family = GaugeMetricFamily(
            "edgessd_stage_seconds",
            "Time in a stage over the last frames; delay is from capture to result",
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
        zeros = {(stream, label): 0 for stream in range(streams) for label in self._labels}
        for (stream, label), count in sorted({**zeros, **self._detections}.items()):
            family.add_metric([str(stream), label], count)
        yield family
        family = CounterMetricFamily(
            "edgessd_events",
            "What tracked objects did",
            labels=["stream", "kind", "region", "direction", "label"],
        )
        for (stream, *names), count in sorted(dict(self._events).items()):
            family.add_metric([str(stream), *names], count)
        yield family
        inside = GaugeMetricFamily(
            "edgessd_zone_objects", "Objects in a zone now", labels=["stream", "region", "label"]
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
        "dropped": ("dropped_frames", "Frames of a live source that the engine was too busy for"),
        "skipped": ("skipped_frames", "Pictures that could not be decoded"),
        "reconnects": ("reconnects", "Times that the connection was made anew"),
    }
    for key, (name, text) in counters.items():
        family = CounterMetricFamily(f"edgessd_stream_{name}", text, labels=names)
        for number, stream in enumerate(status.streams):
            family.add_metric([str(number), stream.name], getattr(stream, key))
        yield family
    gauges = {"fps": "Results a second, lately", "connected": "1, or 0 while it is away"}
    for key, text in gauges.items():
        gauge = GaugeMetricFamily(f"edgessd_stream_{key}", text, labels=names)
        for number, stream in enumerate(status.streams):
            gauge.add_metric([str(number), stream.name], float(getattr(stream, key)))
        yield gauge
    delay = GaugeMetricFamily(
        "edgessd_stream_delay_seconds", "From capture to result", labels=[*names, "percentile"]
    )
    for number, stream in enumerate(status.streams):
        _add_percentiles(delay, [str(number), stream.name], stream.delay)
    yield delay


def _sinks(status: PipelineStatus) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    for key, text in (
        ("written", "Results that an output took"),
        ("lost", "Results that came while an output was busy"),
    ):
        family = CounterMetricFamily(f"edgessd_sink_{key}", text, labels=["sink"])
        for sink in status.sinks:
            family.add_metric([sink.name], getattr(sink, key))
        yield family
    failed = GaugeMetricFamily("edgessd_sink_failed", "1 once an output ended", labels=["sink"])
    for sink in status.sinks:
        failed.add_metric([sink.name], float(sink.failed is not None))
    yield failed


def _add_percentiles(family: Any, names: list[str], latency: Latency) -> None:
    for percentile in _PERCENTILES:
        family.add_metric([*names, percentile], getattr(latency, f"{percentile}_ms") / 1e3)


class MetricsSink:
    """Serves `http://host:port/metrics`.

    Args:
        metrics: What is served.
        host: Address to listen on; 127.0.0.1 is seen from this machine only, 0.0.0.0 from everywhere.
        port: 0 takes any that is free.

    Attributes:
        url: Where it is.

    Raises:
        SinkError: The port is taken, or isn't this machine's.
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


def parse_listen(text: str) -> tuple[str, int]:
    """`PORT` or `HOST:PORT` as (host, port); a port alone is served to this machine only.

    Raises:
        SinkError: It is neither.
    """
    host, _, port = text.rpartition(":")
    if not port.isdigit() or not 0 <= int(port) < 65536 or (":" in text and not host):
        raise SinkError(
            "That isn't where metrics can be served",
            expected="PORT or HOST:PORT, such as 9464 or 0.0.0.0:9464",
            found=text,
        )
    return host.strip("[]") or "127.0.0.1", int(port)
