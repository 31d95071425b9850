"""Options of `edgessd run` for cameras and other sources."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import edgessd

from edgessd.pipeline.sources.camera import describe_cameras


def test_list_prints_the_cameras_as_json_and_as_text() -> None:
    there = describe_cameras()
    listed = json.loads(edgessd("run", "--list", "--json").out)
    assert [camera["source"] for camera in listed["cameras"]] == [
        f"camera:{camera.number}" for camera in there
    ]
    assert listed["csi"] == []
    listing = edgessd("run", "--list")
    assert listing.out == ""
    assert all(f"--camera {camera.number}" in listing.err for camera in there)
    assert bool(there) != ("This machine has no camera" in listing.err)


def test_several_sources_of_several_kinds(photos: Path) -> None:
    words = ("--source", "pattern:64x48", "--source", photos, "--max-frames", 20, "--json")
    summary = json.loads(edgessd("run", *words).out)
    assert [stream["source"] for stream in summary["streams"]] == ["pattern:64x48", str(photos)]
    assert all(stream["frames"] > 0 for stream in summary["streams"])
    assert summary["dropped"] == 0


def test_images_can_be_paced_and_repeated(photos: Path) -> None:
    words = ("--source", photos, "--pace", "--fps", 100, "--loop", "--max-frames", 30, "--json")
    summary = json.loads(edgessd("run", *words).out)
    assert summary["frames"] == 30  # there are 16


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--source", "camera:0?size=9"), "camera:N?width=1280"),
        (("--source", "pattern:wide"), "isn't a test pattern"),
        (("--source", "csi:0"), "no CSI camera pipeline for host"),
        (("--source", "nothing/*.png"), "no image nothing/*.png"),
        (("--camera", 4242, "--no-reconnect"), "There is no camera 4242"),
        (("--source", "rtsp://user:s3cr3t@127.0.0.1:1/x"), "Connection refused"),
    ],
)
def test_a_source_that_cannot_be_opened_is_refused_in_one_paragraph(
    words: tuple[object, ...], message: str
) -> None:
    ended = edgessd("run", *words, code=1)
    assert message in " ".join(ended.err.split())
    assert "s3cr3t" not in ended.err


@pytest.mark.parametrize(
    "words",
    [
        ("--fps", "0"),
        ("--rtsp-transport", "http"),
        ("--width", "-1"),
        ("--wait", "--no-reconnect"),
        ("--classes", "person,,car"),
    ],
)
def test_wrong_values_are_wrong_usage(words: tuple[str, ...]) -> None:
    edgessd("run", "--source", "pattern:", *words, code=2)
