"""The OpenCV of this machine, and its GStreamer."""

from __future__ import annotations

import sys

import pytest

from edgessd.target.opencv import find_opencv, gstreamer_in


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ("    GStreamer:                   YES (1.20.3)", "1.20.3"),
        ("    GStreamer:                   YES", "yes"),
        ("    GStreamer:                   NO", ""),
        ("    FFMPEG:                      YES", ""),
    ],
)
def test_gstreamer_is_read_from_the_build_information(line: str, version: str) -> None:
    assert gstreamer_in(f"  Video I/O:\n{line}\n    v4l/v4l2: YES (linux/videodev2.h)\n") == version


def test_the_installed_opencv_is_described() -> None:
    import cv2

    found = find_opencv()
    assert (found.version, found.problem) == (cv2.__version__, "")


def test_a_missing_opencv_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert find_opencv().problem == "not installed"
