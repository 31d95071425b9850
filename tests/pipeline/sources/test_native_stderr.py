"""The stderr of native libraries."""

from __future__ import annotations

import os
import threading

import pytest

from edgessd.pipeline.sources.native_stderr import captured_stderr


def test_lines_of_native_code_are_captured(capfd: pytest.CaptureFixture[str]) -> None:
    os.write(2, b"before\n")
    with captured_stderr() as lines:
        os.write(2, b"no such device\nbye\n")
    os.write(2, b"after\n")
    assert lines == ["no such device", "bye"]
    assert capfd.readouterr().err == "before\nafter\n"


def test_stderr_comes_back_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="seven"), captured_stderr() as lines:
        raise ValueError("seven")
    os.write(2, b"after\n")
    assert lines == []
    assert capfd.readouterr().err == "after\n"


def test_another_thread_captures_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    captured: list[str] = []

    def work() -> None:
        with captured_stderr() as lines:
            os.write(2, b"seen by all\n")
        captured.extend(lines)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert captured == []
    assert capfd.readouterr().err == "seen by all\n"
