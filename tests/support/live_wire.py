"""A pipeline with a live page, and clients for it: shared by the tests of this folder."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from typing import Any

import cv2
import numpy as np
import pytest

for library in ("starlette", "uvicorn", "websockets"):
    pytest.importorskip(library, reason=f"the live page needs {library}: edgessd[live]")

from websockets.sync.client import connect as connect_to  # noqa: E402

from edgessd.pipeline.live.page import LivePage  # noqa: E402
from edgessd.pipeline.pipeline import Pipeline  # noqa: E402
from edgessd.runtime.detector import Detector  # noqa: E402
from edgessd.runtime.starter import starter_bundle  # noqa: E402

TOKEN = "a-token-that-nobody-guesses"


class Running:
    """A pipeline with a live page, on a thread of its own."""

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
    return connect_to(f"ws://127.0.0.1:{run.page.port}/ws", **options)


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
        if isinstance(message, str) and (content := json.loads(message))["type"] == kind:
            yield content


def most_frames(run: Running, enough: float = 1e9) -> int:
    """Return the most frames of several intervals, because the load of other programs varies."""
    best = 0
    for _ in range(8):
        best = max(best, run.frames_in(1.5))
        if best >= enough:
            break
    return best


class DrawingViewer(threading.Thread):
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
