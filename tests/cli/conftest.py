"""Detector and images that several commands share."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import edgessd


@pytest.fixture(scope="session")
def voc_checkpoint(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("voc") / "voc.pt"
    source = shared / "weights" / "ssdlite_mobilenet_v2_voc"
    edgessd("import", "folded", source, "--out", path)
    return path


@pytest.fixture(scope="session")
def some_of_voc(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a dataset of six images of voc100."""
    source, root = shared / "data" / "voc100", tmp_path_factory.mktemp("some") / "some"
    names = sorted(path.stem for path in (source / "JPEGImages").glob("*.jpg"))[:6]
    for folder, suffix in (("JPEGImages", ".jpg"), ("Annotations", ".xml")):
        (root / folder).mkdir(parents=True)
        for name in names:
            content = (source / folder / f"{name}{suffix}").read_bytes()
            (root / folder / f"{name}{suffix}").write_bytes(content)
    return root
