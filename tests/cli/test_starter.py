"""The starter model, as a newcomer meets it: an empty folder and no argument that could be left out."""

from __future__ import annotations

import json
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
    done = edgessd("run", "--source", pictures, "--json")
    summary = json.loads(done.out)
    assert summary["frames"] == 64
    assert set(summary["detections"]) == set(LABELS)


def test_bench_measures_it() -> None:
    done = edgessd("bench", "--seconds", 0.1, "--json")
    assert json.loads(done.out)["engine"]["p50_ms"] > 0


@pytest.mark.slow
def test_build_for_a_raspberry_pi(empty_folder: Path) -> None:
    done = edgessd("build", "--target", "raspberry-pi", "--json")
    built = json.loads(done.out)
    assert built["bundle"] == "dist/codes-raspberry-pi"
    engine = empty_folder / built["engine"]
    # The shipped bundle is this very build.
    assert sha256_of(engine) == open_bundle(starter_bundle()).manifest.engine.sha256


@pytest.mark.slow
def test_starter_keeps_its_accuracy() -> None:
    done = edgessd("data", "synth", "scenes", "--images", 120, "--seed", 99, "--size", "384x384")
    done = edgessd("eval", starter_bundle(), "--data", "scenes", "--split", "all", "--json")
    assert json.loads(done.out)["AP50"] > 0.5
