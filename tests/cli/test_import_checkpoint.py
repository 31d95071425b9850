"""`edgessd import`: one JSON object on stdout, one paragraph on refusal."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import edgessd

from edgessd.model.checkpoint import load_checkpoint


def test_folded_detector(shared: Path, tmp_path: Path) -> None:
    out = tmp_path / "voc.pt"
    source = shared / "weights" / "ssdlite_mobilenet_v2_voc"
    summary = edgessd("import", "folded", source, "--out", out, "--json").json
    assert summary["checkpoint"] == str(out)
    assert (summary["anchors"], summary["input"]) == (1917, [300, 300])
    assert summary["labels"][6] == "car"
    assert load_checkpoint(out).contract.labels[6] == "car"


def test_pytorch_ssd(shared: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(["BACKGROUND", *(f"thing {index}" for index in range(20))]))
    source = shared / "weights" / "pytorch_ssd" / "mb2-ssd-lite-random.pth"
    out = tmp_path / "out.pt"
    assert edgessd("import", "pytorch-ssd", source, "--labels", labels, "--out", out).out == ""
    assert load_checkpoint(out).contract.labels[3] == "thing 3"


@pytest.mark.process
def test_refusal_is_one_paragraph_and_exit_code_1(tmp_path: Path) -> None:
    out = tmp_path / "out.pt"
    ended = edgessd("import", "folded", tmp_path, "--out", out, code=1, own_process=True)
    assert ended.out == ""
    assert "isn't a folded network" in ended.paragraph
    assert not out.exists()


def test_wrong_usage_exits_with_2() -> None:
    edgessd("import", "folded", code=2)
