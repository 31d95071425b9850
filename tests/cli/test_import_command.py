"""`edgessd import`: one JSON object on stdout, one paragraph on refusal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgessd.cli.app import make_app
from edgessd.model.checkpoint import load_checkpoint


@pytest.fixture
def runner() -> CliRunner:
    return CliRunner()


def test_folded_detector(shared: Path, tmp_path: Path, runner: CliRunner) -> None:
    out = tmp_path / "voc.pt"
    source = shared / "weights" / "ssdlite_mobilenet_v2_voc"
    result = runner.invoke(
        make_app(), ["import", "folded", str(source), "--out", str(out), "--json"]
    )
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["checkpoint"] == str(out)
    assert (said["anchors"], said["input"], said["labels"][6]) == (1917, [300, 300], "car")
    assert load_checkpoint(out).contract.labels[6] == "car"


def test_pytorch_ssd(shared: Path, tmp_path: Path, runner: CliRunner) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(["BACKGROUND", *(f"thing {index}" for index in range(20))]))
    source = shared / "weights" / "pytorch_ssd" / "mb2-ssd-lite-random.pth"
    arguments = ["import", "pytorch-ssd", str(source), "--labels", str(labels), "--out"]
    result = runner.invoke(make_app(), [*arguments, str(tmp_path / "out.pt")])
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert load_checkpoint(tmp_path / "out.pt").contract.labels[3] == "thing 3"


def test_refusal_is_one_paragraph_and_exit_code_1(tmp_path: Path) -> None:
    code = "from edgessd.cli.app import main; main()"
    arguments = ["import", "folded", str(tmp_path), "--out", str(tmp_path / "out.pt")]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert "isn't a folded network" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.pt").exists()


def test_wrong_usage_exits_with_2(runner: CliRunner) -> None:
    assert runner.invoke(make_app(), ["import", "folded"]).exit_code == 2
