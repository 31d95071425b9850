"""Memory and sensors of this machine during a benchmark."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgessd.bench.sensors import peak_resident_mb, read_sensors, resident_mb
from edgessd.core.errors import BackendError


def test_peak_is_at_least_what_is_resident_and_grows_with_use() -> None:
    before = peak_resident_mb()
    held = bytearray(60_000_000)
    held[::4096] = b"x" * len(held[::4096])
    assert peak_resident_mb() >= resident_mb() * 0.99
    assert peak_resident_mb() >= before
    assert len(held) == 60_000_000


def test_a_status_file_without_a_peak_is_refused(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("Name:\tpython\n")
    with pytest.raises(BackendError, match="VmHWM"):
        peak_resident_mb(tmp_path / "status")


def test_sensors_give_plausible_numbers_or_none() -> None:
    reading = read_sensors()
    assert reading.celsius is None or -40 < reading.celsius < 150
    assert reading.mhz is None or reading.mhz > 0
