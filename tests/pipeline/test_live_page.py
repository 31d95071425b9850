"""The live page over its wire: a real server, a real pipeline, real sockets."""

from __future__ import annotations

import itertools
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from email.message import Message
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
sync_client = pytest.importorskip("websockets.sync.client")
from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402

from edgessd.core.errors import SinkError  # noqa: E402
from edgessd.pipeline.live.access import choose_token, is_loopback  # noqa: E402
from edgessd.pipeline.live.hub import Extras  # noqa: E402
from edgessd.pipeline.live.page import LivePage  # noqa: E402
from edgessd.pipeline.run import Pipeline  # noqa: E402
from edgessd.runtime.detector import Detector  # noqa: E402
from edgessd.runtime.starter import starter_bundle  # noqa: E402

TOKEN = "a-token-that-nobody-guesses"


class Running:
    """A pipeline on its own thread, with a live page."""

    def __init__(self, pipeline: Pipeline, page: LivePage) -> None:
        self.pipeline, self.page = pipeline, page
        self.finished_at: list[float] = []
        self._thread = threading.Thread(target=self._drain)
        self._thread.start()

    def _drain(self) -> None:
        for _ in self.pipeline:
            self.finished_at.append(time.perf_counter())

    def end(self) -> None:
        self.pipeline.stop()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def frames_in(self, seconds: float) -> int:
        before = len(self.finished_at)
        time.sleep(seconds)
        return len(self.finished_at) - before


@contextmanager
def running(*sources: str, **options: Any) -> Iterator[Running]:
    chosen = sources or ("pattern:320x240@15",)
    with (
        Detector(starter_bundle(), threads=1) as detector,
        Pipeline(chosen, detector) as pipeline,
    ):
        page = LivePage(pipeline, port=0, **options)
        pipeline.add_sink(page)
        runs = Running(pipeline, page)
        try:
            until(lambda: len(runs.finished_at) > 2)
            yield runs
        finally:
            runs.end()


@pytest.fixture(scope="module")
def run() -> Iterator[Running]:
    extras = Extras(model="codes", celsius=lambda: 47.25)
    with running(extras=extras) as runs:
        yield runs


@pytest.fixture(scope="module")
def guarded() -> Iterator[Running]:
    with running(host="0.0.0.0", token=TOKEN) as runs:
        yield runs


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def ask(run: Running, path: str, body: object = None, **headers: str) -> Answer:
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{run.page.port}{path}", data)
    for name, value in headers.items():
        request.add_header(name.replace("_", "-"), value)
    try:
        with urllib.request.build_opener(NoRedirect).open(request, timeout=20) as answer:
            return Answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as refused:
        return Answer(refused.code, refused.headers, refused.read())


def connect(run: Running, **options: Any) -> Any:
    return sync_client.connect(f"ws://127.0.0.1:{run.page.port}/ws", **options)


def until(true: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def picture_of(message: bytes) -> tuple[dict[str, Any], np.ndarray]:
    length = int.from_bytes(message[:4], "big")
    jpeg = np.frombuffer(message[4 + length :], np.uint8)
    return json.loads(message[4 : 4 + length]), cv2.imdecode(jpeg, cv2.IMREAD_COLOR)


def next_picture(viewer: Any) -> tuple[dict[str, Any], np.ndarray]:
    while isinstance(message := viewer.recv(timeout=20), str):
        pass
    record, image = picture_of(message)
    viewer.send(json.dumps({"type": "drawn", "stream": record["stream"]}))
    return record, image


def texts_and_pictures(viewer: Any) -> Iterator[str]:
    while True:
        message = viewer.recv(timeout=20)
        yield json.loads(message)["type"] if isinstance(message, str) else "picture"


def read_to_the_end(viewer: Any) -> None:
    for _ in texts_and_pictures(viewer):
        pass


def texts_of(viewer: Any, kind: str) -> Iterator[dict[str, Any]]:
    while True:
        message = viewer.recv(timeout=20)
        if isinstance(message, str) and (said := json.loads(message))["type"] == kind:
            yield said


def test_status_tells_of_streams_stages_outputs_and_temperature(run: Running) -> None:
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
    assert all(later - time > 0.3 for time, later in itertools.pairwise(times))


def test_page_and_its_files_come_from_here_alone(run: Running) -> None:
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
    ("body", "said"),
    [
        ({"score_threshold": 1.5}, "probability"),
        ({"score_threshold": "high"}, "weren't understood"),
        ({"threshold": 0.5}, "weren't understood"),
        ({"classes": ["unicorn"]}, "'unicorn'"),
        ({"classes": "aruco"}, "weren't understood"),
        (b"{", "weren't understood"),
        (b'{"score_threshold": NaN}', "weren't understood"),
        (b" " * 70_000, "weren't understood"),
        # One of them is wrong: neither is taken.
        ({"score_threshold": 7, "classes": ["aruco"]}, "probability"),
        ({"score_threshold": 0.9, "classes": ["unicorn"]}, "'unicorn'"),
    ],
)
def test_wrong_controls_are_refused_and_change_nothing(
    run: Running, body: object, said: str
) -> None:
    before = ask(run, "/api/controls").json
    answer = ask(run, "/api/controls", body)
    assert answer.status == 400
    assert said in answer.json["error"]["problem"]
    assert ask(run, "/api/controls").json == before


def test_a_viewer_gets_new_pictures_with_what_was_found_in_them(run: Running) -> None:
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


def test_a_viewer_that_draws_nothing_gets_two_pictures_and_no_more(run: Running) -> None:
    with connect(run) as viewer:
        viewer.send(json.dumps({"type": "watch", "streams": [0]}))
        told = itertools.islice(texts_and_pictures(viewer), 2 + 4)  # pictures, and seconds' figures
        assert sum(kind == "picture" for kind in told) == 2


def test_nothing_is_encoded_while_nobody_looks(run: Running) -> None:
    until(lambda: run.page.viewers == 0)
    before = run.page.pictures_encoded
    assert run.frames_in(0.7) > 3
    assert run.page.pictures_encoded <= before + 1  # the one that the last viewer had asked for


def test_pictures_are_encoded_once_for_all_viewers(run: Running) -> None:
    with connect(run) as one, connect(run) as two, connect(run) as three:
        viewers = (one, two, three)
        for viewer in viewers:
            viewer.send(json.dumps({"type": "watch", "streams": [0]}))
        for viewer in viewers:
            next_picture(viewer)
        begin = run.page.pictures_encoded
        seen: list[list[int]] = [[], [], []]
        for _ in range(10):
            for number, viewer in enumerate(viewers):
                seen[number].append(next_picture(viewer)[0]["frame"])
        assert len(set(seen[0]) & set(seen[1]) & set(seen[2])) >= 6
        assert run.page.pictures_encoded - begin <= 16  # 30 pictures were drawn


def test_every_viewer_learns_of_changed_controls_at_once(run: Running) -> None:
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
def test_a_viewer_that_talks_nonsense_is_sent_away(run: Running, message: str) -> None:
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


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "127.0.0.1:9"}, 200),  # through a tunnel, the port is another
        ({"Host": "localhost"}, 200),
        ({"Host": "[::1]:80"}, 200),
        ({"Host": "camera.example"}, 421),  # a name that somebody lets point here
        ({"Host": "127.0.0.1.example"}, 421),
        ({"Host": ""}, 421),
    ],
)
def test_without_a_token_only_this_machines_names_are_answered(
    run: Running, headers: dict[str, str], status: int
) -> None:
    assert ask(run, "/api/status", **headers).status == status


def test_other_websites_can_neither_change_nor_watch_anything(run: Running) -> None:
    here = f"http://127.0.0.1:{run.page.port}"
    body = {"score_threshold": run.pipeline.controls.score_threshold}
    assert ask(run, "/api/controls", body, Origin=here).status == 200
    for origin in ("http://example.com", "null", "http://127.0.0.1:1"):
        assert ask(run, "/api/controls", body, Origin=origin).status == 403
        with pytest.raises(InvalidStatus) as refused, connect(run, origin=origin):
            pass
        assert refused.value.response.status_code == 403
    assert ask(run, "/api/status").headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Access-Control-Allow-Origin" not in ask(run, "/api/status").headers


def test_without_the_token_nothing_is_shown(guarded: Running) -> None:
    asked = ask(guarded, "/")
    assert asked.status == 401
    assert b'name="token"' in asked.body
    for path in (
        "/api/status",
        "/api/history",
        "/api/controls",
        "/picture/0.jpg",
        "/stream/0.mjpg",
    ):
        assert ask(guarded, path).status == 401
    for shown in ("wrong", TOKEN[:-1], TOKEN + "x", "ä"):
        assert (
            ask(
                guarded, "/api/status", Authorization=f"Bearer {shown}".encode().decode("latin-1")
            ).status
            == 401
        )
    assert ask(guarded, "/?token=wrong").status == 401
    with pytest.raises(InvalidStatus) as refused, connect(guarded):
        pass
    assert refused.value.response.status_code == 403


def test_the_token_opens_once_and_then_a_cookie_does(guarded: Running) -> None:
    first = ask(guarded, f"/?token={TOKEN}")
    assert first.status == 303
    assert first.headers["Location"] == "./"  # the address bar loses the token
    cookie = first.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert str(guarded.page.port) in cookie.split("=")[0]
    remembered = cookie.split(";")[0]
    assert ask(guarded, "/", Cookie=remembered).status == 200
    with connect(guarded, additional_headers={"Cookie": remembered}) as viewer:
        viewer.send(json.dumps({"type": "watch", "streams": [0]}))
        assert next_picture(viewer)[1].shape == (240, 320, 3)
    assert ask(guarded, "/", Cookie=f"edgessd_{guarded.page.port}=wrong").status == 401
    # Through another name it is still this page: the cookie is bound to the name.
    assert ask(guarded, "/", Cookie=remembered, Host="camera.lan").status == 200


def test_programs_show_the_token_in_a_header_or_in_the_address(guarded: Running) -> None:
    assert ask(guarded, "/api/status", Authorization=f"Bearer {TOKEN}").status == 200
    assert ask(guarded, f"/picture/0.jpg?token={TOKEN}").status == 200


def test_tokens_are_made_beyond_this_machine_and_must_be_long() -> None:
    assert choose_token("127.0.0.1", None) is None
    assert choose_token("::1", None) is None
    one, two = choose_token("0.0.0.0", None), choose_token("0.0.0.0", None)
    assert one != two
    assert one is not None
    assert len(one) >= 32
    assert choose_token("127.0.0.1", "x" * 16) == "x" * 16
    for short in ("secret", "x" * 15, "ü" * 20):
        with pytest.raises(SinkError, match="openssl rand"):
            choose_token("0.0.0.0", short)


@pytest.mark.parametrize(
    ("host", "own"),
    [("localhost", True), ("127.4.4.4", True), ("::1", True), ("[::1]", True), ("a.localhost", True),
     ("0.0.0.0", False), ("localhost.example", False), ("192.168.1.4", False), ("", False)],
)  # fmt: skip
def test_what_is_this_machine(host: str, own: bool) -> None:
    assert is_loopback(host) is own


def test_addresses_are_real_and_carry_the_token(guarded: Running) -> None:
    for url in guarded.page.urls():
        assert url.endswith(f":{guarded.page.port}/?token={TOKEN}")
        host = url.split("//")[1].rsplit(":", 1)[0]
        with socket.create_connection((host, guarded.page.port), timeout=5):
            pass
    assert all(TOKEN not in url for url in guarded.page.urls(with_token=False))


def test_a_busy_port_is_said_with_the_way_out(run: Running) -> None:
    with pytest.raises(SinkError, match=r"another program.*--port") as refused:
        LivePage(run.pipeline, port=run.page.port)
    assert str(run.page.port) in str(refused.value)
    with pytest.raises(SinkError, match="name of this machine"):
        LivePage(run.pipeline, host="no.such.host.invalid", port=0)
    with pytest.raises(SinkError, match="address of this machine"):
        LivePage(run.pipeline, host="198.51.100.7", port=0)


def test_a_4k_picture_is_shrunk_and_its_boxes_are_told_in_its_own_pixels() -> None:
    with running("pattern:3840x2160@4") as runs, connect(runs) as viewer:
        viewer.send(json.dumps({"type": "watch", "streams": [0]}))
        record, image = next_picture(viewer)
        assert image.shape == (720, 1280, 3)
        assert (record["width"], record["height"]) == (3840, 2160)


def test_several_streams_are_watched_apart() -> None:
    with running("pattern:320x240@8", "pattern:200x100@8") as runs, connect(runs) as viewer:
        viewer.send(json.dumps({"type": "watch", "streams": [0, 1]}))
        shapes = {}
        while len(shapes) < 2:
            record, image = next_picture(viewer)
            shapes[record["stream"]] = image.shape
        assert shapes == {0: (240, 320, 3), 1: (100, 200, 3)}
        viewer.send(json.dumps({"type": "watch", "streams": [1]}))
        streams = [next_picture(viewer)[0]["stream"] for _ in range(12)]
        assert set(streams[4:]) == {1}  # two of the other may have been on their way


def most_frames(run: Running, enough: float = 1e9) -> int:
    """Frames in the best of some seconds: other programs' load comes and goes, a viewer's would stay."""
    best = 0
    for _ in range(8):
        best = max(best, run.frames_in(1.5))
        if best >= enough:
            break
    return best


class Looker(threading.Thread):
    """Draws every picture that it gets."""

    def __init__(self, run: Running) -> None:
        super().__init__()
        self.drawn = 0
        self.ending = threading.Event()
        self._run = run

    def run(self) -> None:
        with connect(self._run) as viewer:
            viewer.send(json.dumps({"type": "watch", "streams": [0]}))
            while not self.ending.is_set():
                next_picture(viewer)
                self.drawn += 1


def test_a_stalled_viewer_slows_nobody_and_is_let_go() -> None:
    """Two who look and one who has stopped reading, against nobody at all, in one run."""
    with running("pattern:640x480@12", stall_seconds=4.0) as runs:
        alone = most_frames(runs, 0.95 * 12 * 1.5)
        with socket.create_connection(("127.0.0.1", runs.page.port)) as stalled:
            stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stalled.sendall(b"GET /stream/0.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
            lookers = [Looker(runs), Looker(runs)]
            for looker in lookers:
                looker.start()
            until(lambda: runs.page.viewers == 3)
            begin = [looker.drawn for looker in lookers]
            before = len(runs.finished_at)
            assert most_frames(runs, 0.95 * alone) >= 0.9 * alone
            frames = len(runs.finished_at) - before
            drawn = [looker.drawn - count for looker, count in zip(lookers, begin, strict=True)]
            assert min(drawn) >= 0.6 * frames
            until(lambda: runs.page.viewers == 2, seconds=60)
            for looker in lookers:
                looker.ending.set()
                looker.join(20)


def test_the_end_of_the_pipeline_sends_every_viewer_away() -> None:
    before = set(threading.enumerate())
    with ExitStack() as viewers:
        with running() as runs:
            port = runs.page.port
            viewer = viewers.enter_context(connect(runs))
            viewer.send(json.dumps({"type": "watch", "streams": [0]}))
            next_picture(viewer)
            stream = urllib.request.urlopen(f"http://127.0.0.1:{port}/stream/0.mjpg", timeout=20)
            stream.read(2000)
            start = time.monotonic()
        assert time.monotonic() - start < 6
        with pytest.raises(ConnectionClosed):
            read_to_the_end(viewer)
        stream.read()  # to its end
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    until(lambda: not any("edgessd" in each.name for each in set(threading.enumerate()) - before))


def test_a_stalled_viewer_does_not_hold_up_the_end(caplog: pytest.LogCaptureFixture) -> None:
    with ExitStack() as viewers:
        with running("pattern:640x480@20", stall_seconds=60) as runs:
            for request in ("GET /stream/0.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n",) * 2:
                stalled = viewers.enter_context(socket.socket())
                stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                stalled.connect(("127.0.0.1", runs.page.port))
                stalled.sendall(request.encode())
            until(lambda: runs.page.viewers == 2)
            encoded = -1
            while encoded != runs.page.pictures_encoded:  # until nothing more goes through
                encoded = runs.page.pictures_encoded
                time.sleep(0.5)
            start = time.monotonic()
        assert time.monotonic() - start < 8
    assert [
        record.getMessage() for record in caplog.records if record.name.startswith("uvicorn")
    ] == []
    assert runs.page.viewers == 0


def test_metrics_are_answered_where_they_are_given() -> None:
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
