"""The default model of a folder, and the starter."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgessd.bundle.store import Bundle
from edgessd.core.errors import BundleError
from edgessd.runtime.starter import default_bundle, starter_bundle

Bundles = dict[str, Bundle]


def test_the_newest_runnable_bundle_is_the_default(tiny_bundles: Bundles, tmp_path: Path) -> None:
    import os

    for age, name in enumerate(("jetson-orin-nano", "host", "android")):
        directory = shutil.copytree(tiny_bundles[name].directory, tmp_path / "dist" / name)
        os.utime(directory / "manifest.json", (1e9 - age, 1e9 - age))
    assert default_bundle(tmp_path).name == "host"


def test_without_any_bundle_the_starter_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgessd.runtime import starter

    folder = tmp_path / "starter"
    monkeypatch.setattr(starter, "resource_directory", lambda name: folder)
    with pytest.raises(BundleError, match=r"There is no model.*edgessd train"):
        default_bundle(tmp_path)
    (folder / "codes-int8").mkdir(parents=True)
    with pytest.raises(BundleError, match=r"manifest\.json is missing"):
        starter_bundle()
    (folder / "codes-int8" / "manifest.json").write_text("{}")
    assert default_bundle(tmp_path) == folder / "codes-int8"
