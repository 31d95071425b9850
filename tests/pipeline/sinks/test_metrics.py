"""/metrics over a real connection, read by Prometheus' own parser."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edgessd.core.errors import SinkError
from edgessd.pipeline.events import Event, RegionState
from edgessd.pipeline.meter import Latency
from edgessd.pipeline.result import Result
from edgessd.pipeline.sinks.metrics import Metrics, MetricsSink
from edgessd.pipeline.status import PipelineStatus, SinkStatus, StreamStatus

Make = Callable[..., Result]
SECONDS = Latency(p50_ms=10.0, p95_ms=20.0, p99_ms=30.0, mean_ms=12.0, count=9)


def status() -> PipelineStatus:
    stream = StreamStatus(
        name='rtsp://door/"quoted"',
        live=True,
        connected=False,
        frames=90,
        dropped=4,
        skipped=0,
        reconnects=2,
        fps=14.5,
        delay=SECONDS,
    )
    return PipelineStatus(
        uptime_seconds=60.0,
        frames=90,
        fps=14.5,
        stages={"infer": SECONDS},
        streams=(stream,),
        sinks=(SinkStatus(name="MQTT x:1", written=88, lost=2, failed="gone"),),
    )


@pytest.fixture
def sink() -> Iterator[MetricsSink]:
    opened = MetricsSink(Metrics(status, labels={0: ("person", "car")}), port=0)
    yield opened
    opened.close()


def scrape(sink: MetricsSink) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    with urllib.request.urlopen(sink.url, timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        text = answer.read().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def labels(**names: str) -> frozenset[tuple[str, str]]:
    return frozenset(names.items())


def test_a_scrape_has_the_pipelines_status(sink: MetricsSink) -> None:
    found = scrape(sink)
    stream = {"stream": "0", "source": 'rtsp://door/"quoted"'}
    assert found["edgessd_stream_frames_total", labels(**stream)] == 90
    assert found["edgessd_stream_dropped_frames_total", labels(**stream)] == 4
    assert found["edgessd_stream_reconnects_total", labels(**stream)] == 2
    assert found["edgessd_stream_connected", labels(**stream)] == 0
    assert found["edgessd_stream_fps", labels(**stream)] == 14.5
    delay = ("edgessd_stream_delay_seconds", labels(**stream, percentile="p95"))
    assert found[delay] == pytest.approx(0.02)
    infer = ("edgessd_stage_seconds", labels(stage="infer", percentile="p50"))
    assert found[infer] == pytest.approx(0.01)
    assert found["edgessd_sink_lost_total", labels(sink="MQTT x:1")] == 2
    assert found["edgessd_sink_failed", labels(sink="MQTT x:1")] == 1
    assert found["process_resident_memory_bytes", frozenset()] > 1e6


def test_a_scrape_counts_detections_and_events(
    sink: MetricsSink, make_result: Make, make_event: Callable[..., Event]
) -> None:
    before = scrape(sink)
    assert before["edgessd_detections_total", labels(stream="0", label="car")] == 0
    zone = RegionState(
        name="bench",
        kind="zone",
        points=(),
        inside={"person": 1},
        entered={"person": 3, "car": 1},
        left={"person": 2, "car": 1},
    )
    for index in range(3):
        sink.write(make_result(index, "person", "person", events=(make_event(),), regions=(zone,)))
    found = scrape(sink)
    assert found["edgessd_detections_total", labels(stream="0", label="person")] == 6
    crossed = labels(stream="0", kind="line_crossed", region="door", direction="in", label="person")
    assert found["edgessd_events_total", crossed] == 3
    inside = labels(stream="0", region="bench", label="person")
    assert found["edgessd_zone_objects", inside] == 1
    assert found["edgessd_zone_objects", labels(stream="0", region="bench", label="car")] == 0


def test_another_server_can_serve_the_text(make_result: Make) -> None:
    metrics = Metrics(status)
    metrics.add(make_result(0, "person"))
    names = {family.name for family in text_string_to_metric_families(metrics.text().decode())}
    assert {"edgessd_detections", "edgessd_stream_fps", "edgessd_uptime_seconds"} <= names


def test_a_taken_port_and_a_foreign_address_are_refused(sink: MetricsSink) -> None:
    port = int(sink.url.split(":")[2].split("/")[0])
    with pytest.raises(SinkError, match="Address already in use"):
        MetricsSink(Metrics(status), port=port)
    with pytest.raises(SinkError, match=r"192\.0\.2\.1"):
        MetricsSink(Metrics(status), host="192.0.2.1", port=0)


def test_closing_frees_the_port() -> None:
    opened = MetricsSink(Metrics(status), port=0)
    opened.close()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(opened.url, timeout=2)


def test_a_missing_library_is_named_with_its_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "prometheus_client", None)
    with pytest.raises(SinkError, match=r"edgessd\[metrics\]"):
        Metrics(status)
