"""Folders of the data files that ship with edgessd: targets, calibration recipes, the starter model."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def resource_directory(name: str) -> Path:
    """Return the folder `targets`, `calibration` or `starter`.

    A wheel carries them in `edgessd/_data` (see `force-include` in pyproject.toml); in a checkout they
    are at the top, where people look for them.
    """
    for candidate in (_PACKAGE / "_data" / name, _PACKAGE / name, _PACKAGE.parent / name):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(f"the folder {name!r} isn't part of this installation of edgessd")
