"""Messages of `edgessd run`: JSON lines that any collector reads, sentences with a priority for journald."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from command_line import edgessd, start_edgessd

pytestmark = pytest.mark.slow


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_every_line_on_stderr_is_json(tmp_path: Path) -> None:
    words = (
        "--source",
        "pattern:320x240",
        "--max-frames",
        5,
        "--log",
        "json",
        "--live",
        "--port",
        0,
    )
    done = edgessd("run", *words, cwd=tmp_path, own_process=True)
    assert done.out == ""
    written = lines(done.err)
    assert [line["event"] for line in written] == ["live_page", "finished"]
    assert written[0]["urls"][0].startswith("http://127.0.0.1:")
    assert written[1]["frames"] == 5
    for line in written:
        assert line["level"] == "info"
        assert line["message"]
        age = datetime.now(timezone.utc) - datetime.fromisoformat(line["time"])
        assert 0 <= age.total_seconds() < 120


def test_a_refusal_is_a_line_too(tmp_path: Path) -> None:
    words = ("--source", "absent.mp4", "--log", "json")
    done = edgessd("run", *words, cwd=tmp_path, code=1, own_process=True)
    (line,) = lines(done.err)
    assert (line["event"], line["level"]) == ("refused", "error")
    assert "absent.mp4" in json.dumps(line)
    assert line["fix"]


def test_a_crash_is_a_line_with_its_traceback(tmp_path: Path) -> None:
    program = (
        "from edgessd.cli.logs import LogForm, start_logging\n"
        "start_logging(LogForm.json)\n"
        "raise ZeroDivisionError('seven')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    (line,) = lines(done.stderr)
    assert (line["event"], line["level"]) == ("crashed", "critical")
    assert "ZeroDivisionError: seven" in line["traceback"]


def test_sigterm_drains_the_outputs_and_ends_with_0(tmp_path: Path) -> None:
    words = ("--source", "pattern:320x240@20", "--jsonl", "out.jsonl", "--log", "json")
    process = start_edgessd("run", *words, cwd=tmp_path)
    written = tmp_path / "out.jsonl"
    deadline = time.monotonic() + 120
    while not (written.exists() and written.stat().st_size > 2000) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    finished = lines(errors)[-1]
    assert finished["event"] == "finished"
    # All messages that were written to the file are in it, complete.
    records = lines(written.read_text())
    assert len(records) == finished["sinks"][0]["written"] >= 5


def test_lines_for_journald_begin_with_their_priority(tmp_path: Path) -> None:
    log = tmp_path / "journal"
    program = (
        "import logging\n"
        "from edgessd.cli.logs import LogForm, start_logging\n"
        "start_logging(LogForm.text)\n"
        "log = logging.getLogger('edgessd.test')\n"
        "log.info('fine'); log.warning('two\\nlines'); log.error('bad'); log.debug('never said')\n"
    )
    with log.open("w") as stderr:
        about = os.fstat(stderr.fileno())
        stream = {**os.environ, "JOURNAL_STREAM": f"{about.st_dev}:{about.st_ino}"}
        subprocess.run(
            [sys.executable, "-c", program], stderr=stderr, env=stream, timeout=60, check=True
        )
    assert log.read_text() == "<6>fine\n<4>two\n<4>lines\n<3>bad\n"


def test_other_lines_begin_with_the_time(tmp_path: Path) -> None:
    program = (
        "import logging\n"
        "from edgessd.cli.logs import LogForm, start_logging\n"
        "start_logging(LogForm.text)\n"
        "logging.getLogger('edgessd.test').info('fine')\n"
        "logging.getLogger('other').info('of no interest')\n"
    )
    # Another process's journal isn't this stream.
    stream = {**os.environ, "JOURNAL_STREAM": "1:1"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=stream, timeout=60
    )
    time_text, _, sentence = done.stderr.partition(" ")
    assert sentence == "fine\n"
    datetime.strptime(time_text, "%H:%M:%S")


def test_host_and_port_without_a_page_are_wrong_usage(tmp_path: Path) -> None:
    words = ("--source", "pattern:", "--port", 8080)
    assert "--live" in edgessd("run", *words, cwd=tmp_path, code=2).err


@pytest.mark.parametrize("token", [None, "a-token-that-nobody-guesses"])
def test_the_token_is_printed_once_unless_it_is_the_users_own(
    tmp_path: Path, token: str | None
) -> None:
    words = ("--source", "pattern:320x240", "--max-frames", 3, "--live", "--host", "0.0.0.0")
    environment = {"EDGESSD_LIVE_TOKEN": token} if token else {}
    done = edgessd("run", *words, "--port", 0, cwd=tmp_path, env=environment, own_process=True)
    pages = [line for line in done.err.splitlines() if line.startswith("Live page:")]
    assert pages
    if token:
        assert token not in done.err
        assert "EDGESSD_LIVE_TOKEN" in pages[0]
    else:
        assert all("/?token=" in page for page in pages)
