"""Check what a Jetson, or a PC with an NVIDIA GPU, has and lacks for TensorRT.

`gather` reads the system; every check is a function of its result.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import util
from pathlib import Path

from edgessd.target.detect import Machine
from edgessd.target.findings import Check
from edgessd.target.jetson import find_trtexec, jetpack_here, release_numbers
from edgessd.target.opencv import OpenCv, find_opencv
from edgessd.target.packages import installed_version
from edgessd.target.spec import JetPack

OLDEST_PYTHON = (3, 10)
_GUIDE = "docs/jetson.md"
_ENVIRONMENT = "/usr/bin/python3 -m venv --system-site-packages ~/edgessd-env"


@dataclass(frozen=True, kw_only=True, slots=True)
class NvidiaSoftware:
    """NVIDIA software of this system.

    Attributes:
        python: (major, minor) of this Python.
        in_environment: True in a virtual environment.
        sees_system: True if this Python sees the system's packages.
        tensorrt: (distribution, version) of each TensorRT binding.
        system_tensorrt: True if the system's Python has the binding.
        trtexec: Path of the program; "" if it is missing.
        cuda: (distribution, version) of each binding to CUDA.
        opencv: OpenCV that `import cv2` finds.
        power_mode: Mode that nvpmodel reports; "" if it reports none.
        power_modes: (id, name) of each mode.
    """

    python: tuple[int, int]
    in_environment: bool
    sees_system: bool
    tensorrt: tuple[tuple[str, str], ...] = ()
    system_tensorrt: bool = False
    trtexec: str = ""
    cuda: tuple[tuple[str, str], ...] = ()
    opencv: OpenCv = field(default_factory=OpenCv)
    power_mode: str = ""
    power_modes: tuple[tuple[int, str], ...] = ()


def gather(root: Path = Path("/")) -> NvidiaSoftware:
    """Read this Python and the files below `root`; import OpenCV, but neither TensorRT nor CUDA."""
    in_environment = sys.prefix != sys.base_prefix
    return NvidiaSoftware(
        python=sys.version_info[:2],
        in_environment=in_environment,
        sees_system=not in_environment or sees_system(Path(sys.prefix) / "pyvenv.cfg"),
        tensorrt=(*_binding("tensorrt", "tensorrt"), *_binding("tensorrt_rtx", "tensorrt-rtx")),
        system_tensorrt=any((root / "usr/lib").glob("python3*/dist-packages/tensorrt")),
        trtexec=str(find_trtexec(root) or ""),
        cuda=(*_binding("pycuda", "pycuda"), *_binding("cuda", "cuda-python", "cuda-bindings")),
        opencv=find_opencv(),
        power_mode=_power_mode(),
        power_modes=power_modes(root),
    )


def jetson_checks(
    machine: Machine, software: NvidiaSoftware, jetpacks: Sequence[JetPack]
) -> tuple[Check, ...]:
    """Run all checks of a Jetson.

    Args:
        machine: Machine from `detect_machine`.
        software: Software from `gather`.
        jetpacks: JetPacks that support the board, from its target.
    """
    jetpack = jetpack_here(jetpacks, machine.l4t)
    return (
        jetpack_check(machine, jetpack, jetpacks),
        python_check(software, jetpack, jetpacks),
        environment_check(software),
        tensorrt_check(software, jetpack),
        trtexec_check(software),
        cuda_check(software, jetpack),
        opencv_check(software.opencv),
        power_check(software),
    )


def gpu_checks(software: NvidiaSoftware) -> tuple[Check, ...]:
    """Check a PC with an NVIDIA GPU for the target `rtx`; findings are notes, never `missing`."""
    fix = 'python -m pip install "edgessd[rtx]"'
    checks = []
    for name, found in (("TensorRT", software.tensorrt), ("CUDA for Python", software.cuda)):
        if found:
            checks.append(Check(name=name, state="ok", found=_listed(found)))
        else:
            text = "not installed; the target rtx needs it"
            checks.append(Check(name=name, state="note", found=text, fix=fix))
    return tuple(checks)


def jetpack_check(machine: Machine, jetpack: JetPack | None, jetpacks: Sequence[JetPack]) -> Check:
    """Check that edgessd knows this JetPack on this board."""
    if not machine.l4t:
        return Check(
            name="JetPack",
            state="note",
            found="no /etc/nv_tegra_release: in a container, or a system that isn't NVIDIA's",
            fix="in a container run it with --runtime nvidia, from an image of this JetPack",
        )
    release = f"Jetson Linux {machine.l4t}"
    if jetpack is None:
        known = ", ".join(entry.version for entry in jetpacks) or "none"
        return Check(
            name="JetPack",
            state="note",
            found=f"{release}, unknown to edgessd on this board (known: JetPack {known})",
        )
    version = machine.jetpack or jetpack.version
    found = f"{version} ({release}): TensorRT {jetpack.tensorrt}, CUDA {jetpack.cuda}"
    return Check(name="JetPack", state="ok", found=found)


def python_check(
    software: NvidiaSoftware, jetpack: JetPack | None, jetpacks: Sequence[JetPack]
) -> Check:
    """Check that JetPack's bindings fit this Python."""
    here = _dotted(software.python)
    if jetpack is None:
        return Check(name="Python for TensorRT", state="note", found=f"this is {here}")
    if release_numbers(jetpack.python) < OLDEST_PYTHON:
        return Check(
            name="Python for TensorRT",
            state="missing",
            found=f"JetPack {jetpack.version}'s TensorRT fits only Python {jetpack.python}, edgessd "
            f"needs {_dotted(OLDEST_PYTHON)} or later (this is {here})",
            fix=way_out_of_an_old_python(jetpacks),
        )
    if software.python != release_numbers(jetpack.python):
        return Check(
            name="Python for TensorRT",
            state="missing",
            found=f"this is {here}; JetPack {jetpack.version}'s TensorRT and OpenCV fit "
            f"{jetpack.python}",
            fix=_ENVIRONMENT,
        )
    return Check(
        name="Python for TensorRT", state="ok", found=f"{here}, which JetPack's bindings fit"
    )


def way_out_of_an_old_python(jetpacks: Sequence[JetPack]) -> str:
    """Advise a newer JetPack whose Python is new enough, else a compilation without Python."""
    young = [entry for entry in jetpacks if release_numbers(entry.python) >= OLDEST_PYTHON]
    if young:
        newest = max(young, key=lambda entry: release_numbers(entry.l4t))
        return f"flash JetPack {newest.version} (Python {newest.python}); see {_GUIDE}"
    return (
        "this board has no newer JetPack: compile the bundle's graph with "
        f"/usr/src/tensorrt/bin/trtexec, see {_GUIDE}"
    )


def environment_check(software: NvidiaSoftware) -> Check:
    """Check that an environment sees the system's packages: TensorRT and OpenCV come from apt."""
    if not software.in_environment:
        return Check(
            name="Environment",
            state="note",
            found="the system's own Python; an environment keeps edgessd's packages separate",
            fix=_ENVIRONMENT,
        )
    if software.sees_system:
        return Check(name="Environment", state="ok", found="sees the system's packages")
    return Check(
        name="Environment",
        state="missing",
        found="hides the system's packages, JetPack's TensorRT and OpenCV among them",
        fix=_ENVIRONMENT,
    )


def tensorrt_check(software: NvidiaSoftware, jetpack: JetPack | None) -> Check:
    """Check the binding, without which an engine can't run."""
    if software.tensorrt:
        found = _listed(software.tensorrt)
        return Check(name="TensorRT", state="ok", found=found)
    if software.system_tensorrt and not software.sees_system:
        found, fix = "hidden from this environment", _ENVIRONMENT
    elif software.system_tensorrt:
        wanted = jetpack.python if jetpack else "the system's"
        found, fix = f"for another Python ({wanted})", _ENVIRONMENT
    else:
        found, fix = "no Python binding", "sudo apt install nvidia-tensorrt python3-libnvinfer"
    return Check(name="TensorRT", state="missing", found=found, fix=fix)


def trtexec_check(software: NvidiaSoftware) -> Check:
    """Check TensorRT's program, which compiles if no binding fits."""
    if software.trtexec:
        return Check(name="trtexec", state="ok", found=software.trtexec)
    return Check(
        name="trtexec",
        state="note",
        found="not in /usr/src/tensorrt/bin; needed only without the binding",
        fix="sudo apt install libnvinfer-bin",
    )


def cuda_check(software: NvidiaSoftware, jetpack: JetPack | None) -> Check:
    """Check pycuda or cuda-python, which allocates the engine's memory."""
    if software.cuda:
        return Check(name="CUDA for Python", state="ok", found=_listed(software.cuda))
    return Check(
        name="CUDA for Python",
        state="missing",
        found="neither pycuda nor cuda-python",
        fix=f'python -m pip install "{cuda_requirement(jetpack)}"',
    )


def cuda_requirement(jetpack: JetPack | None) -> str:
    """Return the requirement of a cuda-python that is no newer than the JetPack's driver."""
    if jetpack is None:
        return "cuda-python"
    major = release_numbers(jetpack.cuda)[0]
    return f"cuda-python>={major},<{major + 1}"


def opencv_check(opencv: OpenCv) -> Check:
    """Check that OpenCV has GStreamer, which a CSI camera needs and no wheel has."""
    if opencv.problem:
        compiled_for_numpy_1 = "numpy" in opencv.problem.lower() or "_ARRAY_API" in opencv.problem
        return Check(
            name="opencv",
            state="missing",
            found=opencv.problem.splitlines()[0],
            fix='python -m pip install "numpy<2"'
            if compiled_for_numpy_1
            else "sudo apt install python3-opencv",
        )
    if opencv.gstreamer:
        found = f"{opencv.version} with GStreamer {opencv.gstreamer}"
        return Check(name="opencv", state="ok", found=found)
    if opencv.wheel:
        distribution = opencv.wheel.split()[0]
        return Check(
            name="opencv",
            state="missing",
            found=f"{opencv.wheel} hides the system's OpenCV and has no GStreamer: no CSI camera, no "
            "hardware decoder",
            fix=f"python -m pip uninstall -y {distribution} && sudo apt install python3-opencv",
        )
    return Check(
        name="opencv",
        state="missing",
        found=f"{opencv.version} without GStreamer: no CSI camera, no hardware decoder",
        fix="sudo apt install python3-opencv",
    )


def power_check(software: NvidiaSoftware) -> Check:
    """Check the power mode, which can double the latency."""
    if not software.power_mode:
        return Check(
            name="Power mode",
            state="note",
            found="nvpmodel reports no mode",
            fix="sudo nvpmodel -q",
        )
    names = ", ".join(name for _, name in software.power_modes)
    found = f"{software.power_mode}, of {names}" if names else software.power_mode
    best = fastest_mode(software.power_modes)
    if best is None or best[1] == software.power_mode:
        hint = "sudo jetson_clocks fixes the clocks for a measurement"
        return Check(name="Power mode", state="ok", found=f"{found}; {hint}")
    return Check(
        name="Power mode",
        state="note",
        found=f"{found}; not the fastest",
        fix=f"sudo nvpmodel -m {best[0]} && sudo jetson_clocks  # {best[1]}",
    )


def fastest_mode(modes: Sequence[tuple[int, str]]) -> tuple[int, str] | None:
    """Return the mode without limit (MAXN_SUPER before MAXN), else the mode with the most watts."""
    if not modes:
        return None

    def rank(mode: tuple[int, str]) -> tuple[int, int]:
        name = mode[1].upper()
        unlimited = 2 if name == "MAXN_SUPER" else 1 if name == "MAXN" else 0
        watts = re.search(r"(\d+)W", name)
        return unlimited, int(watts[1]) if watts else 0

    return max(modes, key=rank)


def power_modes(root: Path = Path("/")) -> tuple[tuple[int, str], ...]:
    """Read (id, name) of each mode in /etc/nvpmodel.conf."""
    try:
        text = (root / "etc/nvpmodel.conf").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()
    found = re.findall(r"^\s*<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", text, re.MULTILINE)
    return tuple((int(number), name) for number, name in found)


def mode_in(report: str) -> str:
    """Read the mode from the output of `nvpmodel -q`, e.g. "NV Power Mode: 15W"; "" if none."""
    match = re.search(r"^NV Power Mode:\s*(\S+)", report, re.MULTILINE)
    return match[1] if match else ""


def sees_system(configuration: Path) -> bool:
    """Return True if the environment with this pyvenv.cfg was made with --system-site-packages."""
    try:
        text = configuration.read_text(encoding="utf-8")
    except OSError:
        return False
    return bool(
        re.search(r"^\s*include-system-site-packages\s*=\s*true\s*$", text, re.MULTILINE | re.I)
    )


def _power_mode() -> str:
    program = shutil.which("nvpmodel")
    if program is None:
        return ""
    try:
        run = subprocess.run(
            [program, "-q"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""  # `power_check` reports it
    return mode_in(run.stdout)


def _binding(module: str, *distributions: str) -> tuple[tuple[str, str], ...]:
    """Find (distribution, version) of a module without importing it; empty if it isn't installed."""
    if util.find_spec(module) is None:
        return ()
    for distribution in distributions:
        version = installed_version(distribution)
        if version:
            return ((distribution, version),)
    return ((distributions[0], ""),)  # from apt, without metadata


def _listed(found: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{name} {version}".strip() for name, version in found)


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
