"""Memory and sensors of this machine during a benchmark."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgessd.bench.sensors import peak_resident_mb, read_sensors, resident_mb
from edgessd.core.errors import BackendError


def test_the_peak_counts_memory_that_was_freed() -> None:
    before = resident_mb()
    held = bytearray(60_000_000)
    held[::4096] = b"x" * len(held[::4096])  # only touched pages are resident
    assert resident_mb() > before + 50
    del held
    assert peak_resident_mb() > before + 50


def test_a_status_file_without_a_peak_is_refused(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("Name:\tpython\n")
    with pytest.raises(BackendError, match="VmHWM"):
        peak_resident_mb(tmp_path / "status")


def test_sensors_give_plausible_numbers_or_none() -> None:
    reading = read_sensors()
    assert reading.celsius is None or -40 < reading.celsius < 150
    assert reading.mhz is None or reading.mhz > 0
