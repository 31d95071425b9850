"""Facts of a machine, read from the real files of real machines."""

from __future__ import annotations

from pathlib import Path

from edgessd.bench.machine import this_machine


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
