"""Findings of `doctor`, with the command for each missing part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgessd.target import doctor
from edgessd.target.detect import Machine, detect_machine
from edgessd.target.doctor import examine, throttle_flags
from edgessd.target.findings import Check


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return detect_machine(tmp_path, arch="aarch64")


def named(machine: Machine) -> dict[str, Check]:
    return {check.name: check for check in examine(machine, [])}


def test_installed_packages_have_their_versions(machine: Machine) -> None:
    import msgspec
    import numpy

    checks = named(machine)
    assert checks["numpy"] == Check(name="numpy", state="ok", found=numpy.__version__)
    assert checks["msgspec"].found == msgspec.__version__
    assert checks["opencv"].state == "ok"


def test_a_missing_package_counts_as_missing_only_if_it_is_needed(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = doctor.installed_version
    monkeypatch.setattr(
        doctor, "installed_version", lambda name: "" if name == "torch" else installed(name)
    )
    on_host = named(machine)["torch"]
    assert (on_host.state, on_host.fix) == ("missing", "python -m pip install torch")
    on_device = named(replace(machine, target="raspberry-pi-5"))["torch"]
    assert (on_device.state, on_device.fix) == ("note", "")
    assert "not needed to run" in on_device.found


def test_backends_are_among_the_findings(machine: Machine) -> None:
    backend = Check(name="Backend litert", state="ok", found="1.0")
    assert backend in examine(machine, [backend])


def test_a_raspberry_pi_without_camera_gets_advice_on_csi_cameras(machine: Machine) -> None:
    check = named(replace(machine, target="raspberry-pi-5"))["Cameras"]
    assert "picamera2" in check.fix


def test_devices_are_found(machine: Machine) -> None:
    checks = named(
        replace(
            machine,
            cameras=(("/dev/video0", "Webcam"),),
            coral=("Coral USB Accelerator",),
            l4t="36.4.3",
            jetpack="6.1 or 6.2",
            target="jetson-orin-nano",
        )
    )
    assert checks["Cameras"].found == "/dev/video0 (Webcam)"
    assert checks["Edge TPU"].state == "ok"
    assert checks["GPU"].found == "Jetson Linux 36.4.3, JetPack 6.1 or 6.2"


@pytest.mark.parametrize(
    ("report", "flags"),
    [
        ("throttled=0x0\n", ()),
        ("throttled=0x50000\n", ("under-voltage since boot", "throttled since boot")),
        ("throttled=0x50005\n", ("under-voltage", "throttled")),
        ("throttled=0x80008\n", ("soft temperature limit",)),
    ],
)
def test_throttling_bits(report: str, flags: tuple[str, ...]) -> None:
    assert throttle_flags(report) == flags


@pytest.mark.parametrize(
    ("script", "state"),
    [
        ("echo throttled=0x0", "ok"),
        ("echo throttled=0x50005", "missing"),
        ("exit 1", "note"),
        ("echo throttled=nonsense", "note"),
    ],
)
def test_a_raspberry_pi_is_checked_for_throttling(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, state: str
) -> None:
    command = tmp_path / "vcgencmd"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert named(replace(machine, target="raspberry-pi-4"))["Throttling"].state == state


def test_other_machines_are_not_checked_for_throttling(machine: Machine) -> None:
    assert "Throttling" not in named(machine)
