"""Folders of the data files that ship with edgessd."""

from __future__ import annotations

import pytest

from edgessd.core.resources import resource_directory


@pytest.mark.parametrize(
    ("name", "content"),
    [("targets", "host.toml"), ("calibration", "recipes/default.toml"), ("starter", "codes.pt")],
)
def test_shipped_folders_are_found_with_their_content(name: str, content: str) -> None:
    assert (resource_directory(name) / content).is_file()


def test_an_unknown_folder_is_an_error() -> None:
    with pytest.raises(FileNotFoundError, match="'absent' isn't part of this installation"):
        resource_directory("absent")
