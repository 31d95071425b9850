"""Memory and sensors of this machine during a benchmark."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgessd.bench.sensors import peak_resident_mb, read_sensors
from edgessd.core.errors import BackendError


def test_the_peak_counts_memory_that_was_freed() -> None:
    # In a process of its own: tests before this one may have needed far more memory.
    program = (
        "from edgessd.bench.sensors import peak_resident_mb, resident_mb\n"
        "before = resident_mb()\n"
        "held = bytearray(60_000_000)\n"
        "held[::4096] = b'x' * len(held[::4096])  # only touched pages are resident\n"
        "del held\n"
        "print(resident_mb() - before, peak_resident_mb() - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    after, peak = map(float, done.stdout.split())
    assert after < 10
    assert 50 < peak < 100


def test_a_status_file_without_a_peak_is_refused(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("Name:\tpython\n")
    with pytest.raises(BackendError, match="VmHWM"):
        peak_resident_mb(tmp_path / "status")


def test_sensors_give_plausible_numbers_or_none() -> None:
    reading = read_sensors()
    assert reading.celsius is None or -40 < reading.celsius < 150
    assert reading.mhz is None or reading.mhz > 0
