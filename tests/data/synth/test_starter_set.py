"""Calibration images that ship with edgessd: the program that writes them."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest


def test_help_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["starter_set", "--help"])
    with pytest.raises(SystemExit) as left:
        runpy.run_module("edgessd.data.synth.starter_set", run_name="__main__")
    assert left.value.code == 0
    assert "DIR" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
