"""A calibration table survives its file and refuses a damaged one."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from edgessd.calibrate.observers import TensorObserver
from edgessd.calibrate.table import CalibrationTable, TensorStatistics
from edgessd.core.errors import CalibrationError


def _table() -> CalibrationTable:
    tensors = {}
    for index, name in enumerate(("image", "stem.conv")):
        observer = TensorObserver()
        values = np.random.default_rng(index).normal(index, 2, 500).astype(np.float32)
        observer.add(float(values.min()), float(values.max()), values)
        tensors[name] = TensorStatistics.of(observer)
    return CalibrationTable(
        tensors=tensors, images=("aa", "bb"), skipped={"x.jpg": "broken"}, graph_sha256="cc"
    )


def test_file_round_trip(tmp_path: Path) -> None:
    table = _table()
    table.save(tmp_path / "table.npz")
    loaded = CalibrationTable.load(tmp_path / "table.npz")
    assert list(loaded.tensors) == list(table.tensors)
    assert (loaded.images, loaded.skipped, loaded.graph_sha256) == (
        table.images,
        table.skipped,
        table.graph_sha256,
    )
    assert loaded.images_sha256 == table.images_sha256
    for name, statistics in table.tensors.items():
        np.testing.assert_array_equal(loaded[name].counts, statistics.counts)
        np.testing.assert_array_equal(loaded[name].edges, statistics.edges)
        assert loaded[name].minimum == statistics.minimum
        assert loaded[name].mean_maximum == statistics.mean_maximum


@pytest.mark.parametrize("damage", ["truncated", "text", "missing", "flipped"])
def test_damaged_file_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "table.npz"
    _table().save(path)
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "text":
        path.write_text("not a table")
    elif damage == "flipped":
        with zipfile.ZipFile(path) as archive:
            counts = archive.getinfo("counts.npy")
        content[counts.header_offset + 30 + counts.compress_size // 2] ^= 0xFF
        path.write_bytes(content)
    else:
        path.unlink()
    with pytest.raises(CalibrationError, match="calibration table"):
        CalibrationTable.load(path)


def test_unknown_tensor_is_named() -> None:
    with pytest.raises(CalibrationError, match=r"'heads\.9'"):
        _table()["heads.9"]
