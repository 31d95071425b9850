"""The main job from the command line: every stage starts from what the last left on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from command_line import edgessd

from edgessd.runtime.starter import starter_checkpoint

pytestmark = pytest.mark.slow


def summary(folder: Path, *words: object) -> dict[str, Any]:
    """The JSON object of a command that a user starts in this folder."""
    return edgessd(*words, "--json", cwd=folder, own_process=True).json


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset, a trained run and bundles for four targets."""
    folder = tmp_path_factory.mktemp("job")
    summary(folder, "data", "synth", "scenes", "--images", 150, "--seed", 5, "--size", "256x192")
    # As a user fine-tunes: from weights that know something, so that there is something to compare.
    words = ("--weights", starter_checkpoint(), "--preset", "fine-tune", "--epochs", 2)
    trained = summary(folder, "train", "--data", "scenes", "--out", "runs/codes", *words)
    assert Path(folder, trained["checkpoint"]).is_file()
    assert trained["images_per_second"] > 0
    for target in ("host", "raspberry-pi", "coral", "jetson"):
        built = summary(folder, "build", "--target", target)
        assert built["bundle"] == f"dist/codes-{target}"
        assert Path(folder, built["engine"]).is_file()
        assert built["needs_finish"] == (target == "jetson")
        assert built["seconds"] > 0
    return folder


def test_run_folder_is_readable(job: Path) -> None:
    run = job / "runs/codes"
    rows = (run / "metrics.csv").read_text().splitlines()
    assert len(rows) == 1 + 2
    losses = [float(row.split(",")[rows[0].split(",").index("loss")]) for row in rows[1:]]
    assert all(0 < loss < 10 for loss in losses)
    assert "[optimize]" in (run / "config.toml").read_text()
    assert (run / "curves.png").is_file()


def test_every_form_of_the_detector_agrees(job: Path) -> None:
    reference, *others = "runs/codes/best.pt", "dist/codes-host", "dist/codes-raspberry-pi"
    found = summary(job, "compare", reference, *others, "--data", "scenes")
    for path in others:
        artifact = found["artifacts"][path]
        assert artifact["agreement_AP"] > 0.7
        assert abs(artifact["AP"] - found["artifacts"][others[0]]["AP"]) < 0.01
    pair = summary(job, "compare", "dist/codes-host", "dist/codes-raspberry-pi", "--data", "scenes")
    same = pair["artifacts"]["dist/codes-raspberry-pi"]
    # One graph, one integer arithmetic: the two engines give the same numbers.
    assert same["raw_within_1_lsb"] == 1


def test_eval_of_checkpoint_and_unfinished_bundle(job: Path) -> None:
    of_checkpoint = summary(
        job, "eval", "runs/codes/best.pt", "--data", "scenes", "--out", "figures"
    )
    of_reference = summary(job, "eval", "dist/codes-jetson", "--data", "scenes")
    assert of_checkpoint["images"] == of_reference["images"] == 15
    assert set(of_checkpoint["per_class"]) == {"qrcode", "barcode", "datamatrix", "aruco"}
    assert abs(of_checkpoint["AP"] - of_reference["AP"]) < 0.1
    names = {path.name for path in (job / "figures").iterdir()}
    assert names == {"metrics.json", "pr_curves.png", "confusion.png"}


def test_newest_bundle_runs_and_benches_without_being_named(job: Path) -> None:
    ran = summary(job, "run", "--source", "scenes/images/test", "--jsonl", "found.jsonl")
    assert ran["frames"] == 15
    # The Jetson's bundle is newer, but it is compiled on its device.
    assert ran["model"] == "dist/codes-coral" or ran["model"].endswith("/dist/codes-coral")
    figures = summary(job, "bench", "--seconds", 0.2, "--data", "scenes", "--report", "bench.html")
    assert figures["engine"]["p50_ms"] > 0
    assert figures["accuracy"]["images"] == 15
    assert "Accuracy by class" in (job / "bench.html").read_text()


def test_a_flipped_byte_is_refused(job: Path) -> None:
    engine = job / "dist/codes-host/engine.tflite"
    content = bytearray(engine.read_bytes())
    content[len(content) // 2] ^= 1
    engine.write_bytes(bytes(content))
    words = ("--source", "scenes/images/test", "--model", "dist/codes-host")
    assert "sha256" in edgessd("run", *words, cwd=job, code=1).err
    content[len(content) // 2] ^= 1
    engine.write_bytes(bytes(content))


def test_four_calibration_images_are_refused_and_say_why(job: Path) -> None:
    few = job / "few"
    few.mkdir()
    for picture in sorted((job / "scenes/images/train").iterdir())[:4]:
        (few / picture.name).write_bytes(picture.read_bytes())
    words = ("--target", "host", "--calibration", "few", "--out", "dist/few")
    refused = edgessd("build", *words, cwd=job, code=1).paragraph
    assert "found: 4" in refused or "Found 4" in refused or " 4 " in refused
    assert "--force-small" in refused
    assert not (job / "dist/few").exists()
    assert summary(job, "build", *words, "--force-small")["calibration_images"] == 4
