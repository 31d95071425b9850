"""Describe this machine from the files of Linux.

Every function reads below a root folder, so that a tree of files copied from a device describes that device.
"""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

from edgessd.target.jetson import jetpack_of, jetson_target

# CPU flags that decide how fast INT8 runs, named as in /proc/cpuinfo.
_INT8_FLAGS = ("avx2", "avx512_vnni", "avx_vnni", "amx_int8", "asimd", "asimddp", "i8mm", "neon")

# "CPU part" of cores made by Arm (implementer 0x41).
_ARM_CORES = {
    0xD03: "Cortex-A53",
    0xD05: "Cortex-A55",
    0xD07: "Cortex-A57",
    0xD08: "Cortex-A72",
    0xD0B: "Cortex-A76",
    0xD42: "Cortex-A78AE",
    0xD83: "Neoverse-V3AE",
}

# Video devices of a Raspberry Pi that are codecs and image processors, not cameras.
_NOT_A_CAMERA = re.compile(r"codec|hevc|isp|pisp", re.IGNORECASE)

_CORAL_USB_IDS = {
    ("1a6e", "089a"): "Coral USB Accelerator, not used since it was plugged in",
    ("18d1", "9302"): "Coral USB Accelerator",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """This computer.

    Attributes:
        arch: Architecture as in `uname -m`.
        system: Name of the operating system.
        model: Name of the board; "" if the firmware has none.
        cpu: Name of the CPU.
        cores: Number of logical cores.
        memory_bytes: Installed memory in bytes.
        int8_flags: CPU flags that INT8 kernels use.
        l4t: Jetson Linux release, e.g. "36.4.3"; "" elsewhere.
        jetpack: JetPack of that release; "" elsewhere or if unknown.
        gpus: NVIDIA GPUs that the driver lists.
        coral: Edge TPUs on USB or PCI.
        cameras: Video capture devices with their names, e.g. ("/dev/video0", "HD Webcam").
        target: Name of the target file that describes this machine.
    """

    arch: str
    system: str
    model: str
    cpu: str
    cores: int
    memory_bytes: int
    int8_flags: tuple[str, ...]
    l4t: str
    jetpack: str
    gpus: tuple[str, ...]
    coral: tuple[str, ...]
    cameras: tuple[tuple[str, str], ...]
    target: str


def detect_machine(root: Path = Path("/"), *, arch: str | None = None) -> Machine:
    """Describe the machine with the files below `root`."""
    cpuinfo = _text(root / "proc/cpuinfo")
    model = board_model(root)
    l4t = l4t_release(root)
    return Machine(
        arch=arch or platform.machine(),
        system=_os_name(root),
        model=model,
        cpu=_cpu_name(cpuinfo),
        cores=len(re.findall(r"^processor\s*:", cpuinfo, re.MULTILINE)) or os.cpu_count() or 1,
        memory_bytes=_memory_bytes(root),
        int8_flags=_int8_flags(cpuinfo),
        l4t=l4t,
        jetpack=jetpack_of(l4t),
        gpus=_gpus(root),
        coral=_coral(root),
        cameras=_cameras(root),
        target=_target_of(model, device_tree_compatible(root), l4t),
    )


def board_model(root: Path = Path("/")) -> str:
    """Read the board's name from the device tree (Arm) or the firmware's tables (PCs)."""
    device_tree = _text(root / "proc/device-tree/model").rstrip("\0").strip()
    if device_tree:
        return device_tree
    parts = [
        _text(root / "sys/class/dmi/id" / name).strip() for name in ("sys_vendor", "product_name")
    ]
    return " ".join(part for part in parts if part)


def l4t_release(root: Path = Path("/")) -> str:
    """Read the Jetson Linux release from /etc/nv_tegra_release, e.g. "36.4.3"; "" elsewhere."""
    match = re.search(
        r"#\s*R(\d+)\s*\(release\),\s*REVISION:\s*([\d.]+)", _text(root / "etc/nv_tegra_release")
    )
    return f"{match[1]}.{match[2]}" if match else ""


def device_tree_compatible(root: Path = Path("/")) -> tuple[str, ...]:
    """Read the device tree's `compatible` strings, most specific first."""
    parts = _text(root / "proc/device-tree/compatible").split("\0")
    return tuple(part for part in (part.strip() for part in parts) if part)


def _target_of(model: str, compatible: tuple[str, ...], l4t: str) -> str:
    """Find the most specific target of a board; an unknown Pi or Jetson gets its family."""
    for pattern, target in (
        (r"Raspberry Pi (5|500|Compute Module 5)\b", "raspberry-pi-5"),
        (r"Raspberry Pi (4|400|Compute Module 4)\b", "raspberry-pi-4"),
        (r"Raspberry Pi", "raspberry-pi"),
    ):
        if re.search(pattern, model):
            return target
    return jetson_target(model, compatible, l4t) or "host"


def _cpu_name(cpuinfo: str) -> str:
    named = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    if named and "ARMv" not in named[1]:
        return named[1].strip()
    parts = {
        int(part, 16) for part in re.findall(r"^CPU part\s*:\s*(0x\w+)", cpuinfo, re.MULTILINE)
    }
    implementer = re.search(r"^CPU implementer\s*:\s*(0x\w+)", cpuinfo, re.MULTILINE)
    if implementer and int(implementer[1], 16) == 0x41:
        return " and ".join(_ARM_CORES.get(part, f"Arm part {part:#x}") for part in sorted(parts))
    return "unknown"


def _int8_flags(cpuinfo: str) -> tuple[str, ...]:
    match = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    present = set(match[1].split()) if match else set()
    return tuple(flag for flag in _INT8_FLAGS if flag in present)


def _memory_bytes(root: Path) -> int:
    match = re.search(r"^MemTotal:\s*(\d+) kB", _text(root / "proc/meminfo"), re.MULTILINE)
    return int(match[1]) * 1024 if match else 0


def _os_name(root: Path) -> str:
    match = re.search(r'^PRETTY_NAME="?([^"\n]+)', _text(root / "etc/os-release"), re.MULTILINE)
    return match[1] if match else platform.system()


def _gpus(root: Path) -> tuple[str, ...]:
    names = []
    for entry in sorted((root / "proc/driver/nvidia/gpus").glob("*/information")):
        match = re.search(r"^Model:\s*(.+)$", _text(entry), re.MULTILINE)
        names.append(match[1].strip() if match else entry.parent.name)
    return tuple(names)


def _coral(root: Path) -> tuple[str, ...]:
    found = []
    for device in sorted((root / "sys/bus/usb/devices").glob("*")):
        ids = (_text(device / "idVendor").strip(), _text(device / "idProduct").strip())
        if ids in _CORAL_USB_IDS:
            found.append(_CORAL_USB_IDS[ids])
    found += ["Coral on PCI Express" for _ in sorted((root / "dev").glob("apex_*"))]
    return tuple(found)


def _cameras(root: Path) -> tuple[tuple[str, str], ...]:
    """List video devices with index 0; a camera's other devices have metadata instead of images."""
    found = []
    nodes = sorted((root / "dev").glob("video*"), key=lambda node: (len(node.name), node.name))
    for node in nodes:
        described = root / "sys/class/video4linux" / node.name
        name = _text(described / "name").strip()
        if _text(described / "index").strip() in ("", "0") and not _NOT_A_CAMERA.search(name):
            found.append((f"/dev/{node.name}", name))
    return tuple(found)


def _text(path: Path) -> str:
    """Read a file's text; "" if it doesn't exist or can't be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
