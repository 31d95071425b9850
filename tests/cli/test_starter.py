"""The starter model, as a newcomer meets it: an empty folder and no argument that could be left out."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import edgessd

from edgessd.bundle.store import open_bundle
from edgessd.core.files import sha256_of
from edgessd.core.resources import resource_directory
from edgessd.data.synth.codes import LABELS
from edgessd.runtime.starter import starter_bundle, starter_checkpoint


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_shipped_bundle_was_built_from_the_shipped_checkpoint() -> None:
    manifest = open_bundle(starter_bundle()).manifest
    assert manifest.contract.labels == LABELS
    assert manifest.provenance.checkpoint_sha256 == sha256_of(starter_checkpoint())
    assert manifest.provenance.calibration is not None
    assert manifest.provenance.calibration.images == 64


def test_run_finds_codes_in_pictures() -> None:
    pictures = resource_directory("calibration") / "starter"
    summary = edgessd("run", "--source", pictures, "--json").json
    assert summary["frames"] == 64
    assert set(summary["detections"]) == set(LABELS)


def test_bench_measures_it() -> None:
    assert edgessd("bench", "--seconds", 0.1, "--json").json["engine"]["p50_ms"] > 0


@pytest.mark.slow
def test_build_for_a_raspberry_pi(empty_folder: Path) -> None:
    built = edgessd("build", "--target", "raspberry-pi", "--json").json
    assert built["bundle"] == "dist/codes-raspberry-pi"
    shipped, engine = open_bundle(starter_bundle()), empty_folder / built["engine"]
    assert engine.stat().st_size == pytest.approx(shipped.engine_path.stat().st_size, rel=0.01)
    # The shipped bundle is this very build. Float sums differ from CPU to CPU in their last bits, and with
    # them a weight here and there, so the two are held to the same detections and not to the same bytes.
    pictures = resource_directory("calibration") / "starter"
    words = ("--data", pictures, "--json")
    found = edgessd("compare", shipped.directory, built["bundle"], *words).json
    assert found["artifacts"][built["bundle"]]["agreement_AP"] > 0.9


@pytest.mark.slow
def test_starter_keeps_its_accuracy() -> None:
    edgessd("data", "synth", "scenes", "--images", 120, "--seed", 99, "--size", "384x384")
    found = edgessd("eval", starter_bundle(), "--data", "scenes", "--split", "all", "--json")
    assert found.json["AP50"] > 0.5
