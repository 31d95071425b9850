"""Notifications to systemd on a real datagram socket, and status lines in the log."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgessd.pipeline.controls import Controls
from edgessd.pipeline.heartbeat import Heartbeat
from edgessd.pipeline.notify import Notifier
from edgessd.pipeline.pipeline import Pipeline
from edgessd.pipeline.status import PipelineStatus
from edgessd.runtime.starter import starter_bundle

pytestmark = pytest.mark.realtime


class Manager:
    """The other end of `$NOTIFY_SOCKET`, which reads each message as it comes."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.address = address
        self.heard: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while (message := self._socket.recv(4096)) != b"end":
            self.heard.append(message.decode())

    def statuses(self) -> list[str]:
        """Return the status lines among the messages."""
        return [text for text in self.heard if text.startswith("STATUS=")]

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            address = self.address
            last.sendto(b"end", "\0" + address[1:] if address.startswith("@") else address)
        self._reader.join(10)
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    path = str(tmp_path / "notify") if request.param == "path" else f"@edgessd-test-{os.getpid()}"
    made = Manager(path)
    yield made
    made.close()


class Frozen:
    """A pipeline whose status never changes, as if its engine hung."""

    controls: Controls

    def __init__(self, status: PipelineStatus) -> None:
        self.now = status

    def status(self) -> PipelineStatus:
        return self.now


@pytest.fixture(scope="module")
def last_status() -> PipelineStatus:
    with Pipeline("pattern:320x240@20", starter_bundle()) as pipeline:
        for _ in zip(pipeline, range(5), strict=False):
            pass
        return pipeline.status()


def until(true: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def environment(manager: Manager, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": manager.address, **more}


def test_ready_then_alive_while_frames_flow_then_stopping(manager: Manager) -> None:
    notifier = Notifier.from_environment(environment(manager, WATCHDOG_USEC="600000"))
    assert notifier is not None
    with Pipeline("pattern:320x240@20", starter_bundle()) as pipeline:
        running = threading.Thread(target=lambda: [None for _ in pipeline])
        running.start()
        until(lambda: pipeline.meter.frames > 2)
        start = time.monotonic()
        with Heartbeat(pipeline, notifier):
            until(lambda: manager.heard.count("WATCHDOG=1") >= 3)
        assert time.monotonic() - start < 1.5  # at least twice within the watchdog's 0.6 s
        pipeline.stop()
        running.join(20)
    until(lambda: manager.heard[-1] == "STOPPING=1")
    assert manager.heard[0] == "READY=1"
    assert any(text.startswith("STATUS=") and "FPS" in text for text in manager.heard)


def test_a_pipeline_without_progress_is_not_reported_alive(
    manager: Manager, last_status: PipelineStatus
) -> None:
    notifier = Notifier.from_environment(environment(manager, WATCHDOG_USEC="300000"))
    with Heartbeat(Frozen(last_status), notifier):
        until(lambda: len(manager.statuses()) >= 5)
    assert manager.heard.count("WATCHDOG=1") == 1, "only the first beat has seen progress"


def test_an_unreachable_camera_is_no_reason_to_restart(
    manager: Manager, last_status: PipelineStatus
) -> None:
    away = replace(last_status, streams=(replace(last_status.streams[0], connected=False),))
    notifier = Notifier.from_environment(environment(manager, WATCHDOG_USEC="300000"))
    with Heartbeat(Frozen(away), notifier):
        until(lambda: len(manager.statuses()) >= 5)
    assert manager.heard.count("WATCHDOG=1") >= 5
    assert all("pattern:320x240@20 is unreachable" in text for text in manager.statuses())


def test_the_log_gets_a_status_line_at_an_interval(
    last_status: PipelineStatus, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), Heartbeat(Frozen(last_status), log_seconds=0.1):
        until(lambda: len(caplog.records) >= 2)
    record = caplog.records[0]
    assert "FPS" in record.getMessage()
    assert record.edgessd["event"] == "status"  # type: ignore[attr-defined]
    assert record.edgessd["frames"] == last_status.frames  # type: ignore[attr-defined]
    assert record.edgessd["streams"][0]["source"] == "pattern:320x240@20"  # type: ignore[attr-defined]


def test_without_notifier_and_log_no_thread_is_started(last_status: PipelineStatus) -> None:
    with Heartbeat(Frozen(last_status)):
        assert "edgessd-heartbeat" not in [thread.name for thread in threading.enumerate()]
