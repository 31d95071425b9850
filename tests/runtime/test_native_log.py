"""INFO lines of native libraries are held back; other lines pass."""

from __future__ import annotations

import os

import pytest

from edgessd.runtime.native_log import without_info_lines


def test_only_info_lines_are_held_back(capfd: pytest.CaptureFixture[str]) -> None:
    with without_info_lines():
        os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n")
        os.write(2, b"WARNING: slow\nlast line without an end")
    assert capfd.readouterr().err == "WARNING: slow\nlast line without an end"


def test_lines_before_an_error_pass_too(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        os.write(2, b"ERROR: no such op\n")
        raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"), without_info_lines():
        fail()
    assert capfd.readouterr().err == "ERROR: no such op\n"
    os.write(2, b"INFO: afterwards\n")
    assert capfd.readouterr().err == "INFO: afterwards\n"
