"""What a figure was measured on, read from real files of real machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgessd.bench.machine import this_machine
from edgessd.bench.sensors import peak_resident_mb, read_sensors, resident_mb
from edgessd.core.errors import BackendError


def test_a_raspberry_pi_is_named_by_its_device_tree(tmp_path: Path) -> None:
    tree = tmp_path / "proc/device-tree"
    tree.mkdir(parents=True)
    (tree / "model").write_bytes(b"Raspberry Pi 5 Model B Rev 1.0\0")
    (tmp_path / "proc/cpuinfo").write_text("processor\t: 0\nFeatures\t: fp asimd asimddp crc32\n")
    machine = this_machine(tmp_path)
    assert machine.device == "Raspberry Pi 5 Model B Rev 1.0"
    assert machine.features == ("asimd", "asimddp")
    assert machine.governor is None


def test_this_machine_has_cores_and_memory() -> None:
    machine = this_machine()
    assert machine.cores >= 1
    assert machine.memory_gib > 0.1


def test_peak_is_at_least_what_is_resident_and_grows_with_use() -> None:
    before = peak_resident_mb()
    held = bytearray(60_000_000)
    held[::4096] = b"x" * len(held[::4096])
    assert peak_resident_mb() >= resident_mb() * 0.99
    assert peak_resident_mb() >= before
    assert len(held) == 60_000_000


def test_peak_without_the_kernels_word_is_refused(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("Name:\tpython\n")
    with pytest.raises(BackendError, match="VmHWM"):
        peak_resident_mb(tmp_path / "status")


def test_sensors_give_numbers_or_say_that_there_are_none() -> None:
    reading = read_sensors()
    assert reading.celsius is None or -40 < reading.celsius < 150
    assert reading.mhz is None or reading.mhz > 0
