"""Listing of cameras, and refusal of a missing one."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgessd.core.errors import SourceError
from edgessd.pipeline.sources.camera import CameraSource, describe_cameras, list_cameras


def described(folder: Path, number: int, name: str, index: int) -> None:
    node = folder / f"video{number}"
    node.mkdir()
    (node / "name").write_text(f"{name}\n")
    (node / "index").write_text(f"{index}\n")


def test_metadata_nodes_are_left_out_by_their_index(tmp_path: Path) -> None:
    described(tmp_path, 0, "C920", 0)
    described(tmp_path, 1, "C920", 1)
    described(tmp_path, 2, "Brio", 0)
    described(tmp_path, 3, "Brio", 1)
    assert list_cameras(tmp_path) == {0: "C920", 2: "Brio"}


def test_a_camera_that_can_t_be_opened_is_listed_with_the_reason(tmp_path: Path) -> None:
    described(tmp_path, 5, "C920", 0)
    (listed,) = describe_cameras(tmp_path, tmp_path / "dev")
    assert (listed.number, listed.name, listed.device) == (5, "C920", None)
    assert "No such file" in listed.problem


def test_cameras_are_listed_by_number_with_their_names(tmp_path: Path) -> None:
    for number, name in ((10, "HD Webcam"), (0, "unicam"), (2, "Logitech C920")):
        folder = tmp_path / f"video{number}"
        folder.mkdir()
        (folder / "name").write_text(name + "\n")
    assert list_cameras(tmp_path) == {0: "unicam", 2: "Logitech C920", 10: "HD Webcam"}
    assert list(list_cameras(tmp_path)) == [0, 2, 10]
    assert list_cameras(tmp_path / "absent") == {}


def test_absent_camera_lists_the_real_ones() -> None:
    absent = max(list_cameras(), default=0) + 77
    with pytest.raises(SourceError, match=f"no camera {absent}") as refusal:
        CameraSource(absent)
    assert refusal.value.expected is not None
    for name in list_cameras().values():
        assert name in refusal.value.expected
