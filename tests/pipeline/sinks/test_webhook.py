"""A real receiver that fails, limits, refuses, redirects, hangs, vanishes and comes back."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import edgessd

from edgessd.core.errors import SinkError
from edgessd.pipeline.events import Event
from edgessd.pipeline.result import Result
from edgessd.pipeline.sinks import webhook
from edgessd.pipeline.sinks.webhook import WebhookSink

pytestmark = pytest.mark.realtime

Make = Callable[..., Result]


def until(true: Callable[[], Any], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it didn't happen in time"
        time.sleep(0.01)


class Receiver:
    """An HTTP server with a list of answers; after the last one it answers 204."""

    def __init__(self, port: int = 0) -> None:
        self.posts: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.hang = threading.Event()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {key.lower(): value for key, value in self.headers.items()}
                receiver.posts.append((headers, body))
                code, more = receiver.answers.pop(0) if receiver.answers else (204, {})
                if code == 0:
                    receiver.hang.wait(10)
                    return
                self.send_response(code)
                for key, value in more.items():
                    self.send_header(key, value)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/hook?token=hidden"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.posts]

    def close(self) -> None:
        self.hang.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    opened = Receiver()
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "_FIRST_PAUSE", 0.02)


def test_each_event_is_posted_once_in_order(
    receiver: Receiver, make_result: Make, make_event: Callable[..., Event]
) -> None:
    sink = WebhookSink(receiver.url)
    sink.write(make_result(0, "person"))
    for index in range(5):
        events = (make_event(track_id=2 * index + 1), make_event(track_id=2 * index + 2))
        sink.write(make_result(index, "person", events=events))
    sink.close()
    sink.close()
    records = receiver.records()
    assert [record["event"]["track_id"] for record in records] == list(range(1, 11))
    assert {record["type"] for record in records} == {"event"}
    assert records[2]["frame"] == 1
    headers = [headers for headers, _ in receiver.posts]
    assert len({header["webhook-id"] for header in headers}) == 10
    assert headers[0]["content-type"] == "application/json"
    assert headers[0]["user-agent"].startswith("edgessd/")
    assert "webhook-signature" not in headers[0]
    assert (sink.sent, sink.lost, sink.refused) == (10, 0, 0)


def test_frames_with_detections_are_posted_on_request(
    receiver: Receiver, make_result: Make
) -> None:
    sink = WebhookSink(receiver.url, on="detections")
    sink.write(make_result(0))
    sink.write(make_result(1, "person", "car"))
    sink.close()
    (record,) = receiver.records()
    assert record["type"] == "detections"
    assert [found["label"] for found in record["detections"]] == ["person", "car"]


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        ("any words", b"any words"),
        ("whsec_" + base64.b64encode(b"\x01\xff key").decode(), b"\x01\xff key"),
    ],
)
def test_a_signature_can_be_verified(
    receiver: Receiver, make_result: Make, secret: str, key: bytes
) -> None:
    sink = WebhookSink(receiver.url, on="detections", secret=secret)
    sink.write(make_result(0, "person"))
    sink.close()
    headers, body = receiver.posts[0]
    assert abs(time.time() - int(headers["webhook-timestamp"])) < 60
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert secret not in str(headers)


def test_the_example_of_the_specification_gets_its_signature() -> None:
    """The test vector of the specification's reference libraries."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = webhook.signature(
        key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}'
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("code", [500, 503, 429, 408])
def test_a_receiver_that_fails_gets_the_same_message_again(
    receiver: Receiver, make_result: Make, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    caplog.set_level(logging.INFO)
    receiver.answers = [(code, {})] * 3
    sink = WebhookSink(receiver.url, on="detections")
    sink.write(make_result(0, "person"))
    sink.write(make_result(1, "person"))
    until(lambda: sink.sent == 2)
    sink.close()
    ids = [headers["webhook-id"] for headers, _ in receiver.posts]
    assert ids[0] == ids[1] == ids[2] == ids[3] != ids[4]
    assert [record["frame"] for record in receiver.records()] == [0, 0, 0, 0, 1]
    assert [str(code) in caplog.messages[0], "is back" in caplog.messages[1]] == [True, True]
    assert len(caplog.messages) == 2
    assert "hidden" not in caplog.text


def test_retry_after_is_respected(receiver: Receiver, make_result: Make) -> None:
    receiver.answers = [(429, {"Retry-After": "1"})]
    sink = WebhookSink(receiver.url, on="detections")
    begun = time.monotonic()
    sink.write(make_result(0, "person"))
    until(lambda: sink.sent == 1)
    assert time.monotonic() - begun >= 1.0
    sink.close()


@pytest.mark.parametrize("code", [400, 404, 301])
def test_a_refused_message_is_given_up_and_logged_once(
    receiver: Receiver, make_result: Make, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    receiver.answers = [(code, {"Location": "/elsewhere"})] * 3
    sink = WebhookSink(receiver.url, on="detections")
    for index in range(4):
        sink.write(make_result(index, "person"))
    sink.close()
    assert [record["frame"] for record in receiver.records()] == [0, 1, 2, 3]
    assert (sink.refused, sink.sent) == (3, 1)
    assert len(caplog.messages) == 1
    assert str(code) in caplog.messages[0]


def test_a_receiver_that_comes_back_gets_every_message(
    make_result: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    first = Receiver()
    sink = WebhookSink(first.url, on="detections")
    sink.write(make_result(0, "person"))
    until(lambda: sink.sent == 1)
    first.close()
    for index in range(1, 20):
        sink.write(make_result(index, "person"))
    until(lambda: caplog.messages)
    second = Receiver(first.port)
    until(lambda: sink.sent == 20)
    sink.close()
    assert [record["frame"] for record in second.records()] == list(range(1, 20))
    assert len(caplog.messages) == 2
    second.close()


def test_a_receiver_that_never_answers_is_given_up_after_the_timeout(
    receiver: Receiver, make_result: Make
) -> None:
    receiver.answers = [(0, {})]
    sink = WebhookSink(receiver.url, on="detections", timeout=0.3)
    sink.write(make_result(0, "person"))
    until(lambda: sink.sent == 1)
    assert len(receiver.posts) == 2
    sink.close()


def test_writing_never_waits_and_drops_the_oldest_messages(make_result: Make) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        sink = WebhookSink(f"http://127.0.0.1:{deaf.getsockname()[1]}", on="detections")
        begun = time.monotonic()
        for index in range(1500):
            sink.write(make_result(index, "person"))
        assert time.monotonic() - begun < 5
        assert sink.lost == 500


def test_closing_without_an_answer_reports_the_unsent_messages(
    make_result: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "_DRAIN_SECONDS", 0.3)
    sink = WebhookSink("http://127.0.0.1:1/hook", on="detections")
    for index in range(3):
        sink.write(make_result(index, "person"))
    begun = time.monotonic()
    with pytest.raises(SinkError, match=r"3 messages could not be posted.*refused"):
        sink.close()
    assert time.monotonic() - begun < 3


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("example.org/hook", "https://"),
        ("ftp://example.org", "https://"),
        ("https://", "https://"),
        ("https://example.org:port/", "https://"),
        ("https://me:hunter2@example.org/", "EDGESSD_WEBHOOK_SECRET"),
    ],
)
def test_an_invalid_url_is_refused_at_once(url: str, problem: str) -> None:
    with pytest.raises(SinkError) as refused:
        WebhookSink(url)
    assert problem in refused.value.paragraph()
    assert "hunter2" not in refused.value.paragraph()


def test_a_secret_that_is_not_base64_is_refused_and_not_repeated() -> None:
    with pytest.raises(SinkError) as refused:
        WebhookSink("https://example.org", secret="whsec_not base64!")
    assert "not base64!" not in refused.value.paragraph()


def test_the_command_line_posts_signed_detections(
    receiver: Receiver,
    photos: Path,
    tiny_bundles: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EDGESSD_WEBHOOK_SECRET", "between us")
    model = ("--model", tiny_bundles["host"].directory, "--threshold", 0.02)
    done = edgessd("run", "--source", photos, *model, "--webhook", receiver.url)
    assert "hidden" not in done.err
    assert [record["frame"] for record in receiver.records()] == list(range(16))
    headers, body = receiver.posts[0]
    expected = webhook.signature(
        b"between us", headers["webhook-id"], headers["webhook-timestamp"], body
    )
    assert headers["webhook-signature"] == expected
