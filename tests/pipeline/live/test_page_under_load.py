"""Cost of viewers: pictures are made once, and a slow or stalled viewer slows nothing."""

from __future__ import annotations

import itertools
import json
import socket
import threading
import time
import urllib.request
from contextlib import ExitStack

import pytest
from live_wire import (
    DrawingViewer,
    Running,
    connect,
    most_frames,
    next_picture,
    read_to_the_end,
    running,
    texts_and_pictures,
    until,
)
from websockets.exceptions import ConnectionClosed

pytestmark = pytest.mark.realtime


def test_a_viewer_that_draws_nothing_gets_two_pictures_and_no_more(run: Running) -> None:
    with connect(run) as viewer:
        viewer.send(json.dumps({"type": "watch", "streams": [0]}))
        kinds = itertools.islice(texts_and_pictures(viewer), 2 + 4)  # pictures, then the status
        assert sum(kind == "picture" for kind in kinds) == 2


def test_nothing_is_encoded_without_a_viewer(run: Running) -> None:
    until(lambda: run.page.viewers == 0)
    before = run.page.pictures_encoded
    assert run.frames_in(0.7) > 3
    assert run.page.pictures_encoded <= before + 1  # the one for which the last viewer waited


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


def test_a_4k_picture_is_shrunk_and_its_boxes_stay_in_pixels_of_the_frame() -> None:
    with running("pattern:3840x2160@4") as runs, connect(runs) as viewer:
        viewer.send(json.dumps({"type": "watch", "streams": [0]}))
        record, image = next_picture(viewer)
        assert image.shape == (720, 1280, 3)
        assert (record["width"], record["height"]) == (3840, 2160)


def test_streams_are_watched_independently() -> None:
    with running("pattern:320x240@8", "pattern:200x100@8") as runs, connect(runs) as viewer:
        viewer.send(json.dumps({"type": "watch", "streams": [0, 1]}))
        shapes = {}
        while len(shapes) < 2:
            record, image = next_picture(viewer)
            shapes[record["stream"]] = image.shape
        assert shapes == {0: (240, 320, 3), 1: (100, 200, 3)}
        viewer.send(json.dumps({"type": "watch", "streams": [1]}))
        streams = [next_picture(viewer)[0]["stream"] for _ in range(12)]
        assert set(streams[4:]) == {1}  # two of the other stream may have been under way


def test_a_stalled_viewer_slows_nothing_and_is_disconnected() -> None:
    """Compare two drawing viewers and a stalled one with no viewer, in one run."""
    with running("pattern:640x480@12", stall_seconds=4.0) as runs:
        alone = most_frames(runs, 0.95 * 12 * 1.5)
        with socket.create_connection(("127.0.0.1", runs.page.port)) as stalled:
            stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stalled.sendall(b"GET /stream/0.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
            lookers = [DrawingViewer(runs), DrawingViewer(runs)]
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


def test_the_end_of_the_pipeline_disconnects_every_viewer() -> None:
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
        stream.read()  # until its end
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
            while encoded != runs.page.pictures_encoded:  # until no further picture is accepted
                encoded = runs.page.pictures_encoded
                time.sleep(0.5)
            start = time.monotonic()
        assert time.monotonic() - start < 8
    assert [
        record.getMessage() for record in caplog.records if record.name.startswith("uvicorn")
    ] == []
    assert runs.page.viewers == 0
