"""Options of one source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgessd.core.errors import ConfigError
from edgessd.pipeline.options.source import SourceOptions


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "either address or address_env"),
        ({"address": "a.mp4", "address_env": "A"}, "Found both"),
        ({"address_env": "rtsp://me:hunter2@cam/1"}, "isn't the name of an environment variable"),
        ({"address": "a", "password_env": "hunter2!"}, "password_env"),
        ({"address": "a", "width": 0}, "width is out of range"),
        ({"address": "a", "height": -1}, "1 to 65535"),
        ({"address": "a", "width": 10**400}, "1 to 65535"),
        ({"address": "a", "fps": float("nan")}, "fps is out of range"),
        ({"address": "a", "fps": 2000}, "0.001 to 1000"),
        ({"address": "a", "stall_seconds": 0}, "stall_seconds"),
        ({"address": "a", "stall_seconds": 1e300}, "0.1 to 86400"),
        ({"address": "a", "classes": ()}, "no label"),
        ({"address": "a", "freeze_seconds": -1}, "freeze_seconds"),
        ({"address": "a", "open_seconds": float("inf")}, "open_seconds"),
        ({"address": "a", "threshold": 1.5}, "0 to 1"),
        ({"address": "a", "rtsp_transport": "http"}, "tcp or udp"),
        ({"address": "a", "classes": ("person", "")}, "an empty one"),
        ({"address": "a", "wait": True, "reconnect": False}, "Leave one of --wait"),
    ],
)
def test_invalid_options_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        SourceOptions(**values)
    assert message in refused.value.paragraph()
    assert "hunter2" not in refused.value.paragraph()


@pytest.mark.parametrize(
    ("address", "is_file"),
    [
        ("film.mp4", True),
        ("folder/", True),
        ("folder/*.png", True),
        ("a:b.mp4", True),
        ("camera:0", False),
        ("csi:0?width=640", False),
        ("gst:videotestsrc ! appsink", False),
        ("pattern:", False),
        ("rtsp://cam/1", False),
    ],
)
def test_only_files_are_files(address: str, is_file: bool) -> None:
    assert SourceOptions(address=address).is_file is is_file


def test_regions_imply_tracking() -> None:
    assert not SourceOptions(address="a").tracking
    assert SourceOptions(address="a", track=True).tracking
    assert SourceOptions(address="a", regions=Path("r.toml")).tracking


def test_an_address_may_come_from_the_environment() -> None:
    secret = SourceOptions(address_env="DOOR")
    assert secret.located({"DOOR": "rtsp://me:pw@cam/1"}) == "rtsp://me:pw@cam/1"
    assert SourceOptions(address="a").located({}) == "a"
    for environment in ({}, {"DOOR": ""}):
        with pytest.raises(ConfigError, match="export DOOR="):
            secret.located(environment)
