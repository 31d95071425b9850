"""Find the installed TensorRT: a Python binding, TensorRT-RTX, or only the program trtexec."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

from edgessd.core.errors import BackendError
from edgessd.runtime.tensorrt.dialects import PROVIDERS, Dialect, Version, dialect_of
from edgessd.target.detect import l4t_release
from edgessd.target.jetson import find_trtexec

_TITLES = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT-RTX"}
_OLDEST_PYTHON = (3, 10)


@dataclass(frozen=True, kw_only=True, slots=True)
class Provider:
    """Installed TensorRT that compiles engines.

    Attributes:
        name: `tensorrt` or `tensorrt_rtx`.
        version: Version that the library states.
        module: Python binding; None if there is only the program, which can't run engines.
        trtexec: The program; None if there is a binding.
    """

    name: str
    version: Version
    module: ModuleType | None = None
    trtexec: Path | None = None

    @property
    def dialect(self) -> Dialect:
        """Features of this version."""
        return dialect_of(self.name, self.version)

    @property
    def version_text(self) -> str:
        """Version as text, e.g. "10.3.0"."""
        return ".".join(map(str, self.version))

    @property
    def title(self) -> str:
        """Name and version for people, e.g. "TensorRT 10.3.0"."""
        return f"{_TITLES[self.name]} {self.version_text}"


def find_provider(name: str | None = None, *, root: Path = Path("/")) -> Provider:
    """Find the TensorRT of this machine.

    Args:
        name: `tensorrt` or `tensorrt_rtx`; None takes the first that is installed, TensorRT first.
        root: Root folder of the system's files, to look for a binding of another Python.

    Raises:
        BackendError: None of them is usable.
    """
    if name is not None and name not in PROVIDERS:
        raise BackendError(
            f"There is no TensorRT provider {name!r}", expected=" or ".join(PROVIDERS), found=name
        )
    problems = []
    for candidate in (name,) if name else PROVIDERS:
        provider, problem = _bound(candidate)
        if provider is not None:
            return provider
        problems.append(f"{candidate}: {problem}")
    program = find_trtexec() if name != "tensorrt_rtx" else None
    if program is not None:
        provider = Provider(name="tensorrt", version=trtexec_version(program), trtexec=program)
        dialect_of(provider.name, provider.version)
        return provider
    raise absent(name or "tensorrt", problems, root=root)


def require_binding(provider: Provider, *, root: Path = Path("/")) -> ModuleType:
    """Return the Python binding, without which an engine can be compiled but not run.

    Raises:
        BackendError: There is only trtexec.
    """
    if provider.module is None:
        raise absent(provider.name, [f"only {provider.trtexec}, which compiles"], root=root)
    return provider.module


def absent(name: str, problems: list[str], *, root: Path = Path("/")) -> BackendError:
    """Make the error for a missing binding, with the way to install it on this machine."""
    python = ".".join(map(str, sys.version_info[:3]))
    return BackendError(
        f"{_TITLES[name]} isn't usable from this Python",
        expected=f"a Python that imports {name}",
        found=f"Python {python} at {sys.executable} ({'; '.join(problems)})",
        fix=_fix(name, root),
    )


def trtexec_version(program: Path) -> Version:
    """Read the TensorRT version of a trtexec from the first line that it prints.

    The line is `&&&& RUNNING TensorRT.trtexec [TensorRT v8601]`: major, one digit of minor, two of patch;
    from version 10 on two digits of each, `v100300`.

    Raises:
        BackendError: The program doesn't run, or prints something else.
    """
    try:
        run = subprocess.run(
            [str(program), "--help"], capture_output=True, text=True, timeout=120, check=False
        )
        text = run.stdout + run.stderr
    except (OSError, subprocess.SubprocessError) as error:
        text = str(error)
    match = re.search(r"\[TensorRT v(\d+)\]", text)
    if match is None:
        raise BackendError(
            f"The TensorRT version of {program} is unknown",
            expected='a line with "[TensorRT v8601]" or the like',
            found=text.strip()[-300:] or "nothing",
            fix="Install TensorRT's Python binding instead: sudo apt install python3-libnvinfer",
        )
    return _version_of_number(match[1])


def system_bindings(root: Path = Path("/")) -> tuple[tuple[int, int], ...]:
    """List the Python versions for which the system has TensorRT's binding, oldest first."""
    found = set()
    for folder in (root / "usr/lib").glob("python3*/dist-packages/tensorrt"):
        named = folder.parent.parent.name.removeprefix("python")
        exact = {
            (int(match[1]), int(match[2]))
            for library in folder.glob("*.so")
            if (match := re.search(r"cpython-(\d)(\d+)", library.name))
        }
        if exact:
            found |= exact
        elif "." in named:
            major, minor = named.split(".")[:2]
            found.add((int(major), int(minor)))
    return tuple(sorted(found))


def _bound(name: str) -> tuple[Provider | None, str]:
    """Import a binding: (provider, "") or (None, reason why it can't be imported)."""
    try:
        module = import_module(name)
    except (ImportError, OSError) as error:
        return None, str(error)
    version = parse_version(module.__version__)
    dialect_of(name, version)
    return Provider(name=name, version=version, module=module), ""


def parse_version(text: str) -> Version:
    """Parse a version: `10.3.0.post1` → (10, 3, 0)."""
    numbers = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(int(part) for part in numbers[0].split(".")) if numbers else ()


def _version_of_number(digits: str) -> Version:
    number = int(digits)
    if number < 100_00:
        return number // 1000, number % 1000 // 100, number % 100
    return number // 100_00, number % 100_00 // 100, number % 100


def _fix(name: str, root: Path) -> str:
    if name == "tensorrt_rtx":
        return "Install it, on an x86-64 PC with an RTX GPU: python -m pip install tensorrt-rtx"
    bound = system_bindings(root)
    usable = [python for python in bound if python >= _OLDEST_PYTHON]
    if usable:
        major, minor = usable[-1]
        same = sys.version_info[:2] == usable[-1]
        return (
            f"The system has it for Python {major}.{minor}"
            + (", hidden from this environment" if same else "")
            + f": make the environment with /usr/bin/python{major}.{minor} -m venv "
            "--system-site-packages .venv and install edgessd into it"
        )
    if bound:
        major, minor = bound[-1]
        return (
            f"This JetPack's binding is for Python {major}.{minor} and edgessd needs 3.10: update to "
            "JetPack 6, whose Python is 3.10"
        )
    if l4t_release(root):
        return "Install JetPack's: sudo apt install python3-libnvinfer python3-libnvinfer-dev"
    return (
        "On the Jetson itself JetPack brings it (sudo apt install nvidia-jetpack); on a PC with an "
        "NVIDIA GPU: python -m pip install tensorrt"
    )
