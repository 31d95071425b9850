"""Check what this machine has and lacks for edgessd."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable

from edgessd.target.detect import Machine
from edgessd.target.doctor_nvidia import gather, gpu_checks, jetson_checks
from edgessd.target.findings import Check, State
from edgessd.target.jetson import release_numbers
from edgessd.target.load import load_target
from edgessd.target.opencv import find_opencv
from edgessd.target.packages import install_command, installed_version
from edgessd.target.spec import JetPack

# (distribution, purpose). The first group is for running detectors, the second for making them.
_RUN_PACKAGES = (
    ("numpy", "arrays"),
    ("msgspec", "manifests"),
    ("opencv", "images and video"),
)
_BUILD_PACKAGES = (
    ("torch", "training"),
    ("onnx", "building"),
    ("onnxsim", "building"),
    ("onnxruntime", "calibrating"),
    ("flatbuffers", "writing .tflite"),
    ("faster-coco-eval", "AP"),
)


def examine(machine: Machine, backends: Iterable[Check]) -> tuple[Check, ...]:
    """Run all checks, in the order for a reader.

    Args:
        machine: Machine from `detect_machine`.
        backends: Checks of the runtime's backends; that layer is above this one.
    """
    on_jetson = machine.target.startswith("jetson")
    needed = (
        _RUN_PACKAGES[:-1] if on_jetson else _RUN_PACKAGES
    )  # a Jetson has a check of its own for OpenCV
    checks = [_python(), *(_package(name, purpose, needed=True) for name, purpose in needed)]
    if on_jetson:
        checks += jetson_checks(machine, gather(), _jetpacks(machine.target))
    checks += backends
    on_device = machine.target != "host"
    checks += [_package(name, use, needed=not on_device) for name, use in _BUILD_PACKAGES]
    checks += [_cameras(machine), _gpu(machine), _coral(machine)]
    if machine.gpus and not on_jetson:
        checks += gpu_checks(gather())
    if machine.target.startswith("raspberry-pi"):
        checks.append(_throttling())
    return tuple(checks)


def _jetpacks(target: str) -> tuple[JetPack, ...]:
    """List the JetPacks that support a board, oldest first; for an unknown board those of all boards."""
    spec = load_target(target)
    boards = [spec, *(load_target(profile) for profile in spec.profiles)]
    found = {jetpack for board in boards if board.tensorrt for jetpack in board.tensorrt.jetpacks}
    return tuple(sorted(found, key=lambda jetpack: release_numbers(jetpack.l4t)))


def throttle_flags(report: str) -> tuple[str, ...]:
    """Decode the report of `vcgencmd get_throttled`, e.g. "throttled=0x50005".

    Bits 0 to 3 are the state now, 16 to 19 since boot (Raspberry Pi's documentation of vcgencmd).
    """
    _, _, value = report.strip().partition("=")
    bits = int(value, 16) if value else 0
    meanings = (
        "under-voltage",
        "Arm frequency capped",
        "throttled",
        "soft temperature limit",
    )
    now = [text for bit, text in enumerate(meanings) if bits >> bit & 1]
    before = [
        f"{text} since boot"
        for bit, text in enumerate(meanings)
        if bits >> (bit + 16) & 1 and text not in now
    ]
    return tuple(now + before)


def _python() -> Check:
    version = platform.python_version()
    inside = "in a virtual environment" if sys.prefix != sys.base_prefix else "the system's"
    return Check(name="Python", state="ok", found=f"{version}, {inside}")


def _package(name: str, purpose: str, *, needed: bool) -> Check:
    version = _opencv_version() if name == "opencv" else installed_version(name)
    if version:
        return Check(name=name, state="ok", found=version)
    state: State = "missing" if needed else "note"
    found = f"not installed ({purpose})"
    if not needed:
        return Check(name=name, state=state, found=f"{found}; not needed to run detectors")
    return Check(name=name, state=state, found=found, fix=install_command(name))


def _opencv_version() -> str:
    opencv = find_opencv()
    return opencv.wheel.partition(" ")[2] or opencv.version


def _cameras(machine: Machine) -> Check:
    if machine.cameras:
        names = [f"{node} ({name})" if name else node for node, name in machine.cameras]
        return Check(name="Cameras", state="ok", found=", ".join(names))
    fix = "plug in a USB camera; in a container pass --device /dev/video0"
    if machine.target.startswith("jetson"):
        fix = "a CSI camera needs none: try --source csi:0; or plug in a USB camera"
    if machine.target.startswith("raspberry-pi"):
        fix = "sudo apt install python3-picamera2 for a CSI camera, or plug in a USB one"
    return Check(name="Cameras", state="note", found="no /dev/video*", fix=fix)


def _gpu(machine: Machine) -> Check:
    if machine.l4t:
        jetpack = f", JetPack {machine.jetpack}" if machine.jetpack else ""
        return Check(name="GPU", state="ok", found=f"Jetson Linux {machine.l4t}{jetpack}")
    if machine.gpus:
        return Check(name="GPU", state="ok", found=", ".join(machine.gpus))
    return Check(name="GPU", state="note", found="no NVIDIA GPU; training uses the CPU")


def _coral(machine: Machine) -> Check:
    if machine.coral:
        return Check(name="Edge TPU", state="ok", found=", ".join(machine.coral))
    return Check(name="Edge TPU", state="note", found="no Coral device on USB or PCI Express")


def _throttling() -> Check:
    """Check under-voltage and heat, which halve a Pi's speed without a message."""
    command = shutil.which("vcgencmd")
    if command is None:
        return Check(
            name="Throttling",
            state="note",
            found="vcgencmd isn't installed",
            fix="sudo apt install raspi-utils",
        )
    try:
        report = subprocess.run(
            [command, "get_throttled"], capture_output=True, text=True, timeout=5, check=True
        ).stdout
        flags = throttle_flags(report)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return Check(name="Throttling", state="note", found=f"vcgencmd fails: {error}")
    if not flags:
        return Check(name="Throttling", state="ok", found="none since boot")
    return Check(
        name="Throttling",
        state="missing",
        found=", ".join(flags),
        fix="use the official power supply and a fan, then reboot",
    )
