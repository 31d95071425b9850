"""Findings of `doctor` on Jetsons, for boards in common states."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgessd.target.detect import Machine, detect_machine
from edgessd.target.doctor import examine
from edgessd.target.doctor_nvidia import (
    NvidiaSoftware,
    fastest_mode,
    gather,
    gpu_checks,
    jetson_checks,
    mode_in,
    power_modes,
    sees_system,
)
from edgessd.target.findings import Check
from edgessd.target.load import load_target
from edgessd.target.opencv import OpenCv

WELL = NvidiaSoftware(
    python=(3, 10),
    in_environment=True,
    sees_system=True,
    tensorrt=(("tensorrt", "10.3.0"),),
    system_tensorrt=True,
    trtexec="/usr/src/tensorrt/bin/trtexec",
    cuda=(("cuda-python", "12.6.0"),),
    opencv=OpenCv(version="4.8.0", gstreamer="1.20.3"),
    power_mode="MAXN_SUPER",
    power_modes=((0, "15W"), (1, "25W"), (2, "MAXN_SUPER")),
)
ENVIRONMENT = "/usr/bin/python3 -m venv --system-site-packages ~/edgessd-env"


@pytest.fixture
def orin(tmp_path: Path) -> Machine:
    machine = detect_machine(tmp_path, arch="aarch64")
    return replace(machine, target="jetson-orin-nano", l4t="36.4.3", jetpack="6.2")


def on(machine: Machine, software: NvidiaSoftware) -> dict[str, Check]:
    tensorrt = load_target(machine.target).tensorrt
    assert tensorrt is not None
    return {check.name: check for check in jetson_checks(machine, software, tensorrt.jetpacks)}


def test_a_complete_board_misses_nothing(orin: Machine) -> None:
    checks = on(orin, WELL)
    assert {check.state for check in checks.values()} == {"ok"}
    assert checks["JetPack"].found == "6.2 (Jetson Linux 36.4.3): TensorRT 10.3, CUDA 12.6"
    assert checks["TensorRT"].found == "tensorrt 10.3.0"
    assert checks["CUDA for Python"].found == "cuda-python 12.6.0"
    assert checks["opencv"].found == "4.8.0 with GStreamer 1.20.3"
    assert not any(check.fix for check in checks.values())


def test_a_fresh_board_gets_each_install_command(orin: Machine) -> None:
    bare = NvidiaSoftware(
        python=(3, 10),
        in_environment=True,
        sees_system=False,
        opencv=OpenCv(problem="not installed"),
    )
    checks = on(orin, bare)
    assert {name: check.fix for name, check in checks.items() if check.state == "missing"} == {
        "Environment": ENVIRONMENT,
        "TensorRT": "sudo apt install nvidia-tensorrt python3-libnvinfer",
        "CUDA for Python": 'python -m pip install "cuda-python>=12,<13"',
        "opencv": "sudo apt install python3-opencv",
    }
    assert checks["trtexec"].state == "note"
    hidden = on(orin, replace(bare, system_tensorrt=True))["TensorRT"]
    assert (hidden.found, hidden.fix) == ("hidden from this environment", ENVIRONMENT)


@pytest.mark.parametrize(
    ("target", "l4t", "found", "fix"),
    [
        ("jetson-nano", "32.7.4", "fits only Python 3.6", "trtexec, see docs/jetson.md"),
        ("jetson-tx2", "32.7.1", "fits only Python 3.6", "this board has no newer JetPack"),
        ("jetson-xavier-nx", "35.6.5", "fits only Python 3.8", "this board has no newer JetPack"),
        ("jetson-agx-orin", "35.4.1", "fits only Python 3.8", "flash JetPack 7.2 (Python 3.12)"),
    ],
)
def test_a_jetpack_with_an_old_python_gets_a_way_out(
    orin: Machine, target: str, l4t: str, found: str, fix: str
) -> None:
    machine = replace(orin, target=target, l4t=l4t, jetpack="")
    check = on(machine, replace(WELL, python=(3, 11)))["Python for TensorRT"]
    assert check.state == "missing"
    assert found in check.found
    assert "edgessd needs 3.10 or later (this is 3.11)" in check.found
    assert fix in check.fix


def test_a_newer_python_than_jetpack_s_is_refused(orin: Machine) -> None:
    checks = on(orin, replace(WELL, python=(3, 12), tensorrt=()))
    python = checks["Python for TensorRT"]
    assert (python.state, python.fix) == ("missing", ENVIRONMENT)
    assert "this is 3.12; JetPack 6.2's TensorRT and OpenCV fit 3.10" in python.found
    assert checks["TensorRT"].found == "for another Python (3.10)"


def test_an_unknown_release_is_a_note(orin: Machine) -> None:
    checks = on(replace(orin, l4t="40.1.0", jetpack=""), WELL)
    assert checks["JetPack"].state == "note"
    assert "Jetson Linux 40.1.0, unknown to edgessd" in checks["JetPack"].found
    assert "7.2" in checks["JetPack"].found
    assert checks["Python for TensorRT"].state == "note"
    container = on(replace(orin, l4t="", jetpack=""), WELL)["JetPack"]
    assert "--runtime nvidia" in container.fix


@pytest.mark.parametrize(
    ("opencv", "found", "fix"),
    [
        (
            OpenCv(version="4.12.0", wheel="opencv-python-headless 4.12.0.88"),
            "opencv-python-headless 4.12.0.88 hides the system's OpenCV",
            "python -m pip uninstall -y opencv-python-headless && sudo apt install python3-opencv",
        ),
        (OpenCv(version="4.5.4"), "4.5.4 without GStreamer", "sudo apt install python3-opencv"),
        (
            OpenCv(problem="numpy.core.multiarray failed to import"),
            "numpy.core.multiarray failed to import",
            'python -m pip install "numpy<2"',
        ),
        (OpenCv(problem="_ARRAY_API not found"), "_ARRAY_API", 'python -m pip install "numpy<2"'),
    ],
)
def test_an_opencv_that_is_not_jetpack_s(
    orin: Machine, opencv: OpenCv, found: str, fix: str
) -> None:
    check = on(orin, replace(WELL, opencv=opencv))["opencv"]
    assert check.state == "missing"
    assert found in check.found
    assert check.fix == fix


def test_a_slow_power_mode_is_reported(orin: Machine) -> None:
    check = on(orin, replace(WELL, power_mode="15W"))["Power mode"]
    assert check.state == "note"
    assert check.found == "15W, of 15W, 25W, MAXN_SUPER; not the fastest"
    assert check.fix.startswith("sudo nvpmodel -m 2 && sudo jetson_clocks")
    assert on(orin, replace(WELL, power_mode="", power_modes=()))["Power mode"].state == "note"


@pytest.mark.parametrize(
    ("modes", "fastest"),
    [
        (((0, "MAXN"), (1, "10W"), (2, "15W"), (3, "25W")), (0, "MAXN")),
        (((0, "15W"), (1, "25W"), (2, "MAXN_SUPER")), (2, "MAXN_SUPER")),
        (
            ((0, "MODE_15W_2CORE"), (8, "MODE_20W_6CORE"), (3, "MODE_10W_2CORE")),
            (8, "MODE_20W_6CORE"),
        ),
        (((0, "MAXN"), (1, "5W")), (0, "MAXN")),
        ((), None),
    ],
)
def test_the_fastest_mode(
    modes: tuple[tuple[int, str], ...], fastest: tuple[int, str] | None
) -> None:
    assert fastest_mode(modes) == fastest


def test_power_modes_are_read_from_the_device_s_file(tmp_path: Path) -> None:
    assert power_modes(tmp_path) == ()
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nvpmodel.conf").write_text(
        "# < POWER_MODEL ID=9 NAME=COMMENTED >\n"
        "< PARAM TYPE=FILE NAME=CPU_ONLINE >\nCORE_0 /sys/devices/system/cpu/cpu0/online\n"
        "< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\n"
        "< POWER_MODEL ID=1 NAME=7W >\n< PM_CONFIG DEFAULT=0 >\n"
    )
    assert power_modes(tmp_path) == ((0, "15W"), (1, "7W"))


def test_the_mode_is_read_from_nvpmodels_report() -> None:
    assert mode_in("NV Power Mode: MODE_30W_ALL\n3\n") == "MODE_30W_ALL"
    assert mode_in("NVPM ERROR: failed to read PARAM\nNV Power Mode: 25W\n1\n") == "25W"
    assert mode_in("NVPM ERROR: no file\n") == ""


def test_an_environments_access_to_system_packages_is_read(tmp_path: Path) -> None:
    path = tmp_path / "pyvenv.cfg"
    assert not sees_system(path)
    path.write_text("home = /usr/bin\ninclude-system-site-packages = true\nversion = 3.10.12\n")
    assert sees_system(path)
    path.write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
    assert not sees_system(path)


def test_gather_describes_this_python(tmp_path: Path) -> None:
    program = tmp_path / "usr/src/tensorrt/bin/trtexec"
    program.parent.mkdir(parents=True)
    program.write_text("")
    program.chmod(0o755)
    (tmp_path / "usr/lib/python3.10/dist-packages/tensorrt").mkdir(parents=True)
    software = gather(tmp_path)
    assert software.opencv.version
    assert software.trtexec
    assert software.system_tensorrt
    assert not gather(tmp_path / "elsewhere").system_tensorrt


def test_a_pc_with_a_gpu_misses_nothing_and_gets_a_note_on_rtx() -> None:
    bare = replace(WELL, tensorrt=(), cuda=())
    assert [(check.state, check.fix) for check in gpu_checks(bare)] == [
        ("note", 'python -m pip install "edgessd[rtx]"')
    ] * 2
    assert {check.state for check in gpu_checks(WELL)} == {"ok"}


def test_jetson_checks_run_only_on_a_jetson(orin: Machine) -> None:
    names = [check.name for check in examine(orin, [])]
    assert {"JetPack", "Environment", "trtexec", "Power mode"} <= set(names)
    assert names.count("opencv") == 1
    family = [check.name for check in examine(replace(orin, target="jetson"), [])]
    assert "JetPack" in family
    elsewhere = [check.name for check in examine(replace(orin, target="host", l4t=""), [])]
    assert "JetPack" not in elsewhere
    assert "opencv" in elsewhere


def test_an_unknown_board_still_has_its_jetpack(orin: Machine) -> None:
    checks = {check.name: check for check in examine(replace(orin, target="jetson"), [])}
    assert checks["JetPack"].found.startswith("6.2 (Jetson Linux 36.4.3)")
