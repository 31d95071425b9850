"""The rows that `benchmarks/peers/quantization/compare.py` keeps, averages and prints."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "peers" / "quantization"
PEERS = ("edgessd_ptq", "onnxruntime_static", "ai_edge", "modelopt_onnx")


def _load(name: str, patch: pytest.MonkeyPatch | None = None) -> ModuleType:
    """A file of the comparison as a module, with `patch` also under its name for others to import."""
    spec = spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    if patch is not None:
        patch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


rows = _load("rows")


def _row(method: str, draw: str, agreement: float | None, **changed: Any) -> dict[str, Any]:
    about = {
        "peer": "other",
        "method": method,
        "scheme": "affine",
        "runs_in": "LiteRT",
        "draw": draw,
    }
    if agreement is None:
        return {**about, "failed": "not done after 600 s", **changed}
    measured = {"version": "other 1.0", "seconds": 2.0, "cpu_seconds": 3.0, "peak_mb": 100}
    return {**about, **measured, "agreement_AP": agreement, "AP": 0.5, **changed}


def test_a_row_made_again_takes_the_place_of_the_old_one() -> None:
    old = [_row("a", "1", 0.9), _row("a", "2", 0.8)]
    merged = rows.merge(old, _row("a", "1", 0.7))
    assert [row["agreement_AP"] for row in merged] == [0.7, 0.8]
    assert len(rows.merge(merged, _row("b", "1", 0.6))) == 3
    assert old[0]["agreement_AP"] == 0.9


def test_a_row_that_failed_before_is_replaced_by_one_that_worked() -> None:
    (row,) = rows.merge([_row("a", "1", None)], _row("a", "1", 0.9))
    assert "failed" not in row


def test_means_are_over_the_draws_and_the_best_come_first_within_their_scheme() -> None:
    averaged = rows.means(
        [
            _row("weak", "1", 0.80),
            _row("weak", "2", 0.84, seconds=4.0),
            _row("symmetric", "1", 0.95, scheme="symmetric"),
            _row("strong", "1", 0.90),
        ]
    )
    assert [row["method"] for row in averaged] == ["strong", "weak", "symmetric"]
    weak = averaged[1]
    assert (weak["agreement_AP"], weak["seconds"], weak["draws"]) == (0.82, 3.0, 2)


def test_a_method_that_failed_on_a_draw_says_so_and_is_never_the_best() -> None:
    averaged = rows.means(
        [
            _row("lucky", "1", 0.99),
            _row("lucky", "2", None),
            _row("steady", "1", 0.9),
            _row("steady", "2", 0.9),
        ]
    )
    assert averaged[0]["failed"] == "1 of 2 draws: not done after 600 s"
    assert rows.best(averaged)["affine"]["method"] == "steady"
    assert "lucky (failed: 1 of 2 draws" in rows.table(averaged)


def test_one_draw_of_several_is_said_and_is_never_the_best() -> None:
    averaged = rows.means(
        [_row("hurried", "1", 0.99), _row("steady", "1", 0.9), _row("steady", "2", 0.9)]
    )
    assert rows.best(averaged)["affine"]["method"] == "steady"
    assert "hurried (1 of 2 draws)" in rows.table(averaged)


def test_a_method_that_always_failed_comes_last_with_its_reason() -> None:
    averaged = rows.means([_row("never", "1", None), _row("steady", "1", 0.9)])
    assert [row["method"] for row in averaged] == ["steady", "never"]
    last = rows.table(averaged).splitlines()[-1]
    assert last.count("–") == 4
    assert "not done after 600 s" in last


def test_the_best_of_each_scheme_is_bold_whoever_made_it() -> None:
    ours = _row("ours", "1", 0.91, peer="edgessd", AP=0.50)
    lines = rows.table(rows.means([ours, _row("theirs", "1", 0.90, AP=0.51)])).splitlines()
    assert "ours" in lines[2]
    assert "| **0.9100** | 0.5000 |" in lines[2]
    assert "theirs" in lines[3]
    assert "| 0.9000 | **0.5100** |" in lines[3]


def test_without_labels_there_is_no_ap() -> None:
    row = _row("a", "1", 0.9)
    del row["AP"]
    (averaged,) = rows.means([row])
    assert "AP" not in averaged
    assert "| 0.9000 |" in rows.table([averaged]).replace("**", "")


@pytest.fixture
def job_module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return _load("job", monkeypatch)


def test_a_job_survives_its_file(tmp_path: Path, job_module: ModuleType) -> None:
    paths = {name: tmp_path / name for name in ("checkpoint", "float_graph", "tensors", "folder")}
    job = job_module.Job(
        peer="other",
        method="MinMax, affine",
        images=(tmp_path / "1.jpg", tmp_path / "2.jpg"),
        engine=tmp_path / "e.onnx",
        contract=tmp_path / "c.json",
        **paths,
    )
    assert job_module.Job.from_json(job.to_json()) == job


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.usefixtures("job_module")
def test_a_peer_is_described_without_its_libraries(name: str) -> None:
    peer = _load(name)
    assert peer.DISTRIBUTION
    assert peer.LIBRARIES
    assert peer.REQUIREMENTS is None or (FOLDER / peer.REQUIREMENTS).is_file()
    for settings in peer.METHODS.values():
        assert settings["scheme"] in ("affine", "symmetric")
        assert settings["engine"] in (".onnx", ".tflite")
