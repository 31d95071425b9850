"""Machines described by their files, with contents from real devices."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgessd.target.detect import Machine, board_model, detect_machine, l4t_release
from edgessd.target.jetson import CHIPS, MODELS, MODULES, jetpack_of
from edgessd.target.load import list_targets, load_target

PI_5_CORE = """\
processor	: {core}
BogoMIPS	: 108.00
Features	: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc asimddp
CPU implementer	: 0x41
CPU architecture: 8
CPU variant	: 0x4
CPU part	: 0xd0b
CPU revision	: 1

"""
PI_4_CORE = """\
processor	: {core}
BogoMIPS	: 108.00
Features	: fp asimd evtstrm crc32 cpuid
CPU implementer	: 0x41
CPU architecture: 8
CPU variant	: 0x0
CPU part	: 0xd08
CPU revision	: 3

"""
ORIN_CORE = """\
processor	: {core}
BogoMIPS	: 62.50
Features	: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc asimddp
CPU implementer	: 0x41
CPU architecture: 8
CPU variant	: 0x0
CPU part	: 0xd42
CPU revision	: 1

"""
PC_CORE = """\
processor	: {core}
vendor_id	: AuthenticAMD
model name	: AMD Ryzen 7 7700 8-Core Processor
flags		: fpu vme sse sse2 avx avx2 avx512f avx512_vnni

"""
ORIN_RELEASE = """\
# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8
# KERNEL_VARIANT: oot
TARGET_USERSPACE_LIB_DIR=nvidia
"""


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def cores(form: str, count: int) -> str:
    return "".join(form.format(core=core) for core in range(count))


@pytest.fixture
def pi_5(tmp_path: Path) -> Path:
    return tree(
        tmp_path,
        {
            "proc/cpuinfo": cores(PI_5_CORE, 4)
            + "Revision	: d04170\nModel		: Raspberry Pi 5 Model B Rev 1.0\n",
            "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
            "proc/meminfo": "MemTotal:        8255424 kB\nMemFree:         6712944 kB\n",
            "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian"\n',
            "dev/video0": "",
            "dev/video1": "",
            "dev/video10": "",
            "sys/class/video4linux/video0/name": "HD Pro Webcam C920\n",
            "sys/class/video4linux/video0/index": "0\n",
            "sys/class/video4linux/video1/name": "HD Pro Webcam C920\n",
            "sys/class/video4linux/video1/index": "1\n",
            "sys/class/video4linux/video10/name": "rpi-hevc-dec\n",
            "sys/class/video4linux/video10/index": "0\n",
            "sys/bus/usb/devices/2-1/idVendor": "18d1\n",
            "sys/bus/usb/devices/2-1/idProduct": "9302\n",
            "sys/bus/usb/devices/usb1/idVendor": "1d6b\n",
            "sys/bus/usb/devices/usb1/idProduct": "0002\n",
        },
    )


def test_a_raspberry_pi_5(pi_5: Path) -> None:
    assert detect_machine(pi_5, arch="aarch64") == Machine(
        arch="aarch64",
        system="Debian GNU/Linux 12 (bookworm)",
        model="Raspberry Pi 5 Model B Rev 1.0",
        cpu="Cortex-A76",
        cores=4,
        memory_bytes=8255424 * 1024,
        int8_flags=("asimd", "asimddp"),
        l4t="",
        jetpack="",
        gpus=(),
        coral=("Coral USB Accelerator",),
        # video1 carries the first camera's metadata; the Pi's video decoder is no camera.
        cameras=(("/dev/video0", "HD Pro Webcam C920"),),
        target="raspberry-pi-5",
    )


def test_a_raspberry_pi_4_lacks_the_dot_product(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "proc/cpuinfo": cores(PI_4_CORE, 4),
            "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
        },
    )
    machine = detect_machine(root, arch="aarch64")
    assert (machine.target, machine.cpu) == ("raspberry-pi-4", "Cortex-A72")
    assert machine.int8_flags == ("asimd",)


def test_a_jetson_orin_nano(tmp_path: Path) -> None:
    model = "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super"
    root = tree(
        tmp_path,
        {
            "proc/cpuinfo": cores(ORIN_CORE, 6),
            "proc/device-tree/model": model + "\0",
            "etc/nv_tegra_release": ORIN_RELEASE,
        },
    )
    machine = detect_machine(root, arch="aarch64")
    assert (machine.target, machine.cpu, machine.cores) == ("jetson-orin-nano", "Cortex-A78AE", 6)
    assert (machine.l4t, machine.jetpack) == ("36.4.3", "6.2")


def test_a_pc_with_a_gpu_and_a_coral_never_used(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "proc/cpuinfo": cores(PC_CORE, 16),
            "sys/class/dmi/id/sys_vendor": "Framework\n",
            "sys/class/dmi/id/product_name": "Desktop\n",
            "proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: \t\t NVIDIA GeForce RTX 4070\n",
            "sys/bus/usb/devices/1-4/idVendor": "1a6e\n",
            "sys/bus/usb/devices/1-4/idProduct": "089a\n",
            "dev/apex_0": "",
        },
    )
    machine = detect_machine(root, arch="x86_64")
    assert (machine.target, machine.model) == ("host", "Framework Desktop")
    assert machine.cpu == "AMD Ryzen 7 7700 8-Core Processor"
    assert machine.int8_flags == ("avx2", "avx512_vnni")
    assert machine.gpus == ("NVIDIA GeForce RTX 4070",)
    assert machine.coral == (
        "Coral USB Accelerator, not used since it was plugged in",
        "Coral on PCI Express",
    )


def test_a_machine_without_descriptions(tmp_path: Path) -> None:
    machine = detect_machine(tmp_path, arch="riscv64")
    assert (machine.target, machine.model, machine.cpu) == ("host", "", "unknown")
    assert machine.cores >= 1
    assert (machine.cameras, machine.memory_bytes) == ((), 0)


@pytest.mark.parametrize(
    ("model", "target"),
    [
        ("Raspberry Pi 500 Rev 1.0", "raspberry-pi-5"),
        ("Raspberry Pi Compute Module 5 Rev 1.0", "raspberry-pi-5"),
        ("Raspberry Pi 400 Rev 1.0", "raspberry-pi-4"),
        ("Raspberry Pi Compute Module 4 Rev 1.1", "raspberry-pi-4"),
        ("Raspberry Pi 3 Model B Plus Rev 1.3", "raspberry-pi"),
        ("Raspberry Pi Zero 2 W Rev 1.0", "raspberry-pi"),
        ("Radxa ROCK 5B", "host"),
    ],
)
def test_boards_and_their_targets(tmp_path: Path, model: str, target: str) -> None:
    root = tree(tmp_path, {"proc/device-tree/model": model + "\0"})
    assert board_model(root) == model
    assert detect_machine(root, arch="aarch64").target == target


def test_every_detected_target_has_a_file(tmp_path: Path) -> None:
    names = {spec.name for spec in list_targets()}
    models = ("Raspberry Pi 5", "Raspberry Pi 4", "Raspberry Pi 3", "Jetson", "")
    roots = [
        tree(tmp_path / str(number), {"proc/device-tree/model": model})
        for number, model in enumerate(models)
    ]
    assert {detect_machine(root, arch="aarch64").target for root in roots} <= names
    tables = (MODULES, MODELS, CHIPS)
    assert {target for table in tables for _, target in table} <= names
    family = load_target("jetson").profiles
    assert {target for _, target in MODULES} == set(family)


@pytest.mark.parametrize(
    ("line", "release", "jetpack"),
    [
        ("# R32 (release), REVISION: 7.4, GCID: 33514132, BOARD: t210ref", "32.7.4", "4.6"),
        ("# R35 (release), REVISION: 1.0, GCID: 31250864, BOARD: t186ref", "35.1.0", "5.0.2"),
        ("# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref", "35.4.1", "5.1"),
        ("# R36 (release), REVISION: 3.0, GCID: 36191598, BOARD: generic", "36.3.0", "6.0"),
        ("# R38 (release), REVISION: 2.0, GCID: 1, BOARD: generic", "38.2.0", "7.0"),
        ("# R36 (release), REVISION: 4.0, GCID: 37537400, BOARD: generic", "36.4.0", "6.1"),
        ("# R36 (release), REVISION: 4.7, GCID: 42132812, BOARD: generic", "36.4.7", "6.2.1"),
        ("# R36 (release), REVISION: 5.0, GCID: 1, BOARD: generic", "36.5.0", "6.2.2"),
        ("# R38 (release), REVISION: 4.0, GCID: 1, BOARD: generic", "38.4.0", "7.1"),
        ("# R39 (release), REVISION: 2.1, GCID: 1, BOARD: generic", "39.2.1", "7.2"),
        ("# R34 (release), REVISION: 1.0, GCID: 1, BOARD: generic", "34.1.0", ""),
        ("# R21 (release), REVISION: 5.0", "21.5.0", ""),
        ("nothing of the kind", "", ""),
    ],
)
def test_jetson_linux_and_its_jetpack(
    tmp_path: Path, line: str, release: str, jetpack: str
) -> None:
    root = tree(tmp_path, {"etc/nv_tegra_release": line + "\n"})
    assert l4t_release(root) == release
    assert jetpack_of(release) == jetpack
