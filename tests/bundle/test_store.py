"""Writing, opening and replacing bundles, and adding an accuracy."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from pet_bundle import ENGINE, make_manifest

from edgessd.bundle.manifest import (
    FORMAT_VERSION,
    MANIFEST_NAME,
)
from edgessd.bundle.quality import Accuracy
from edgessd.bundle.store import (
    add_accuracy,
    open_bundle,
    write_bundle,
)
from edgessd.core.errors import BundleError

FIRST = Accuracy(
    data="pets",
    split="test",
    images=72,
    boxes=300,
    score_threshold=0.01,
    iou_threshold=0.45,
    max_candidates=400,
    engine="litert, ai-edge-litert 2.3.0, XNNPACK",
    AP=0.61,
    AP50=0.9,
)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "dist" / "pets-host", make_manifest(), ENGINE).directory


def test_a_written_bundle_opens_with_the_same_content(bundle: Path) -> None:
    opened = open_bundle(bundle)
    assert opened.manifest == make_manifest()
    assert opened.engine_path.read_bytes() == ENGINE
    assert json.loads((bundle / MANIFEST_NAME).read_text())["format_version"] == FORMAT_VERSION
    assert sorted(entry.name for entry in bundle.iterdir()) == ["engine.tflite", MANIFEST_NAME]


def test_bytes_that_differ_from_the_manifest_leave_the_old_bundle_in_place(bundle: Path) -> None:
    with pytest.raises(BundleError, match="changed or damaged"):
        write_bundle(bundle, make_manifest(), ENGINE[::-1])
    assert open_bundle(bundle).engine_path.read_bytes() == ENGINE
    assert [entry.name for entry in bundle.parent.iterdir()] == ["pets-host"]


def test_a_bundle_is_replaced_whole(bundle: Path) -> None:
    (bundle / "stale.txt").write_text("of the old one")
    write_bundle(bundle, make_manifest(name="again"), ENGINE)
    assert open_bundle(bundle).manifest.name == "again"
    assert not (bundle / "stale.txt").exists()


def test_a_folder_of_something_else_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(BundleError, match=r"holds something else.*thesis\.tex"):
        write_bundle(tmp_path, make_manifest(), ENGINE)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_file_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "pets").write_text("a file")
    with pytest.raises(BundleError, match="is a file"):
        write_bundle(tmp_path / "pets", make_manifest(), ENGINE)


def test_an_accuracy_stays_until_the_same_is_measured_again(bundle: Path) -> None:
    engine = (bundle / "engine.tflite").read_bytes()
    add_accuracy(bundle, FIRST)
    other = msgspec.structs.replace(FIRST, split="val", AP=0.7)
    add_accuracy(bundle, other)
    better = msgspec.structs.replace(FIRST, AP=0.62)
    add_accuracy(bundle, better)
    manifest = open_bundle(bundle).manifest
    assert manifest.accuracy == (other, better)
    assert manifest.format_version == FORMAT_VERSION
    assert (bundle / "engine.tflite").read_bytes() == engine


def test_a_damaged_bundle_gets_no_accuracy(bundle: Path) -> None:
    engine = bundle / "engine.tflite"
    engine.write_bytes(engine.read_bytes()[:-1] + b"x")
    with pytest.raises(BundleError):
        add_accuracy(bundle, FIRST)
