"""The live page with a real server, a real pipeline and real sockets."""

from __future__ import annotations

import json
import time

import cv2
import numpy as np
import pytest
from live_wire import (
    Running,
    ask,
    connect,
    next_picture,
    read_to_the_end,
    texts_of,
    until,
)
from websockets.exceptions import ConnectionClosed

from edgessd.core.errors import SinkError
from edgessd.pipeline.live.hub import Extras
from edgessd.pipeline.live.page import LivePage
from edgessd.pipeline.pipeline import Pipeline
from edgessd.runtime.detector import Detector
from edgessd.runtime.starter import starter_bundle

pytestmark = pytest.mark.realtime


def test_the_status_has_streams_stages_outputs_and_temperature(run: Running) -> None:
    until(lambda: ask(run, "/api/status").json["sample"])
    status = ask(run, "/api/status").json
    assert status["model"] == "codes"
    (stream,) = status["streams"]
    assert stream["name"] == "pattern:320x240@15"
    assert stream["connected"] is True
    assert 0 < stream["frames"] <= len(run.finished_at) + 1
    assert status["stages"]["infer"]["p50_ms"] > 0
    assert status["sinks"][0]["name"] == f"live page on 127.0.0.1:{run.page.port}"
    assert status["sample"]["celsius"] == 47.2
    assert status["sample"]["fps"] > 1
    assert 0 < status["sample"]["delay_p50_ms"] <= status["sample"]["delay_p95_ms"]


def test_history_grows_by_a_sample_a_second(run: Running) -> None:
    before = len(ask(run, "/api/history").json["samples"])
    until(lambda: len(ask(run, "/api/history").json["samples"]) >= before + 2)
    times = [sample["time"] for sample in ask(run, "/api/history").json["samples"]]
    assert times == sorted(times)
    assert (
        len(times) <= times[-1] - times[0] + 2
    )  # one late sample may be followed early by another


def test_the_page_loads_nothing_from_other_sites(run: Running) -> None:
    page = ask(run, "/")
    assert page.status == 200
    text = page.body.decode()
    links = [part.split('"')[0] for mark in ('src="', 'href="') for part in text.split(mark)[1:]]
    assert links
    assert not any("//" in link for link in links)
    for link in links:
        if link.startswith("static/"):
            assert ask(run, f"/{link}").status == 200
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert ask(run, "/static/../app.py").status == 404
    assert ask(run, "/nothing").status == 404


def test_threshold_and_classes_take_effect(run: Running) -> None:
    before = run.pipeline.controls.score_threshold
    try:
        answer = ask(run, "/api/controls", {"score_threshold": 0.45, "classes": ["aruco"]})
        assert answer.status == 200
        assert answer.json["score_threshold"] == 0.45
        assert answer.json["classes"] == ["aruco"]
        assert run.pipeline.controls.score_threshold == pytest.approx(0.45)
        assert run.pipeline.controls.classes == frozenset({"aruco"})
        assert [label["name"] for label in answer.json["labels"]] == list(
            run.pipeline.controls.labels
        )
        assert ask(run, "/api/controls", {"classes": None}).json["classes"] is None
        assert run.pipeline.controls.score_threshold == pytest.approx(0.45)
    finally:
        run.pipeline.controls.score_threshold = before
        run.pipeline.controls.classes = None


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"score_threshold": 1.5}, "probability"),
        ({"score_threshold": "high"}, "are invalid"),
        ({"threshold": 0.5}, "are invalid"),
        ({"classes": ["unicorn"]}, "'unicorn'"),
        ({"classes": "aruco"}, "are invalid"),
        (b"{", "are invalid"),
        (b'{"score_threshold": NaN}', "are invalid"),
        (b" " * 70_000, "are invalid"),
        # One of them is invalid: neither is applied.
        ({"score_threshold": 7, "classes": ["aruco"]}, "probability"),
        ({"score_threshold": 0.9, "classes": ["unicorn"]}, "'unicorn'"),
    ],
)
def test_wrong_controls_are_refused_and_change_nothing(
    run: Running, body: object, problem: str
) -> None:
    before = ask(run, "/api/controls").json
    answer = ask(run, "/api/controls", body)
    assert answer.status == 400
    assert problem in answer.json["error"]["problem"]
    assert ask(run, "/api/controls").json == before


def test_a_viewer_gets_new_pictures_with_their_records(run: Running) -> None:
    with connect(run) as viewer:
        viewer.send(json.dumps({"type": "watch", "streams": [0]}))
        frames = []
        for _ in range(8):
            record, image = next_picture(viewer)
            assert image.shape == (240, 320, 3)
            assert (record["width"], record["height"], record["stream"]) == (320, 240, 0)
            frames.append(record["frame"])
        assert frames == sorted(set(frames))
        until(lambda: ask(run, "/api/status").json["viewers"] == 1)
    until(lambda: ask(run, "/api/status").json["viewers"] == 0)


def test_every_viewer_gets_changed_controls_at_once(run: Running) -> None:
    before = run.pipeline.controls.score_threshold
    with connect(run) as viewer:
        statuses = texts_of(viewer, "status")
        assert next(statuses)["controls"]["score_threshold"] == pytest.approx(before)
        try:
            start = time.monotonic()
            ask(run, "/api/controls", {"score_threshold": 0.77})
            while next(statuses)["controls"]["score_threshold"] != 0.77:
                pass
            assert time.monotonic() - start < 3
        finally:
            run.pipeline.controls.score_threshold = before


@pytest.mark.parametrize(
    "message",
    ["{", '"x"', '{"type": "shout"}', '{"type": "drawn", "stream": 9}', '{"type": "drawn", "stream": -1}',
     '{"type": "watch"}'],
)  # fmt: skip
def test_a_viewer_with_invalid_messages_is_disconnected(run: Running, message: str) -> None:
    with connect(run) as viewer:
        viewer.send(message)
        with pytest.raises(ConnectionClosed) as closed:
            read_to_the_end(viewer)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008


def test_single_picture_and_motion_jpeg_for_other_programs(run: Running) -> None:
    single = ask(run, "/picture/0.jpg")
    assert single.headers["Content-Type"] == "image/jpeg"
    assert cv2.imdecode(np.frombuffer(single.body, np.uint8), 1).shape == (240, 320, 3)
    assert ask(run, "/picture/1.jpg").status == 404
    assert ask(run, "/stream/7.mjpg").status == 404
    stream = cv2.VideoCapture(f"http://127.0.0.1:{run.page.port}/stream/0.mjpg", cv2.CAP_FFMPEG)
    frames = [stream.read() for _ in range(5)]
    stream.release()
    assert all(found and image.shape == (240, 320, 3) for found, image in frames)
    assert any((frames[0][1] != image).any() for _, image in frames[1:])
    until(lambda: run.page.viewers == 0)


def test_a_busy_port_is_refused_with_a_fix(run: Running) -> None:
    with pytest.raises(SinkError, match=r"another program.*--port") as refused:
        LivePage(run.pipeline, port=run.page.port)
    assert str(run.page.port) in str(refused.value)
    with pytest.raises(SinkError, match="name of this machine"):
        LivePage(run.pipeline, host="no.such.host.invalid", port=0)
    with pytest.raises(SinkError, match="address of this machine"):
        LivePage(run.pipeline, host="198.51.100.7", port=0)


def test_metrics_are_served_if_given() -> None:
    pytest.importorskip("prometheus_client")
    from edgessd.pipeline.sinks.metrics import Metrics

    with (
        Detector(starter_bundle(), threads=1) as detector,
        Pipeline(["pattern:320x240@15"], detector) as pipeline,
    ):
        page = LivePage(pipeline, port=0, extras=Extras(metrics=Metrics(pipeline.status)))
        pipeline.add_sink(page)
        runs = Running(pipeline, page)
        until(lambda: len(runs.finished_at) > 2)
        answer = ask(runs, "/metrics")
        runs.end()
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert b"edgessd_uptime_seconds" in answer.body
