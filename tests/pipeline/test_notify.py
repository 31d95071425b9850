"""Notifications to systemd: their environment, and managers that are missing or don't read."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from edgessd.pipeline.notify import Notifier


@pytest.mark.parametrize(
    "variables",
    [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "relative"}, {"NOTIFY_SOCKET": "vsock:2:1"}],
)
def test_outside_a_service_there_is_no_notifier(variables: dict[str, str]) -> None:
    assert Notifier.from_environment(variables) is None


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_only_a_watchdog_of_this_process_counts(
    variables: dict[str, str], seconds: float | None
) -> None:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": "/nowhere", **variables})
    assert notifier is not None
    assert notifier.watchdog_seconds == seconds
    notifier.close()


def test_a_missing_manager_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    notifier = Notifier(str(tmp_path / "nobody"))
    notifier.ready()
    notifier.alive()
    notifier.close()
    assert [record.edgessd["event"] for record in caplog.records] == ["notify_failed"]  # type: ignore[attr-defined]


def test_a_manager_that_does_not_read_holds_up_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "deaf"))
        notifier = Notifier(str(tmp_path / "deaf"))
        start = time.monotonic()
        while not caplog.records:  # until the socket's queue is full: 10 or 512 messages on Linux
            notifier.alive()
        assert time.monotonic() - start < 10
        notifier.close()
