"""Read what NVIDIA's Python bindings of TensorRT offer, without TensorRT itself.

    python tests/golden/renew_tensorrt_api.py                 writes tests/golden/tensorrt_api.json
    python tests/golden/renew_tensorrt_api.py --read FOLDER   prints the API of an unpacked binding

The binding is a wheel of its own. It can't be imported without TensorRT's libraries, but all it takes from
them is about ten entry points. Empty libraries with these names, compiled here, let it load. Nothing can
be built or run that way; the classes, their members and their signatures are NVIDIA's own.

Needs a C compiler, binutils and, to renew, pip with a registry.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

GOLDEN = Path(__file__).with_name("tensorrt_api.json")

# Distribution and version: the TensorRT of JetPack 6.0 (8.6), 6.1 and 6.2 (10.3), 7.0 and 7.1 (10.13), the
# last 10.x, and the newest 11.x. No binding of 8.5 (JetPack 5.1) was ever published outside a JetPack.
WHEELS = (
    ("tensorrt-bindings", "8.6.1"),
    ("tensorrt-cu12-bindings", "10.3.0"),
    ("tensorrt-cu13-bindings", "10.13.3.9"),
    ("tensorrt-cu13-bindings", "10.16.1.11"),
    ("tensorrt-cu13-bindings", "11.4.0.106"),
)

# The classes that edgessd touches; the rest would only make the golden long.
CLASSES = (
    "Builder",
    "BuilderFlag",
    "ComputeCapability",
    "DataType",
    "DeviceType",
    "EngineInspector",
    "IBuilderConfig",
    "ICudaEngine",
    "IExecutionContext",
    "IHostMemory",
    "ILogger",
    "INetworkDefinition",
    "IRuntimeCache",
    "IRuntimeConfig",
    "ITensor",
    "ITimingCache",
    "LayerInformationFormat",
    "MemoryPoolType",
    "NetworkDefinitionCreationFlag",
    "OnnxParser",
    "ParserError",
    "ProfilingVerbosity",
    "Runtime",
    "TensorFormat",
    "TensorIOMode",
)

_LIST = """
import importlib, json, sys
module = importlib.import_module(sys.argv[1])
api = {}
for name in sys.argv[2:]:
    found = getattr(module, name, None)
    if found is not None:
        api[name] = sorted(member for member in dir(found) if not member.startswith("_"))
print(json.dumps({"version": module.__version__, "classes": api}))
"""


def read_binding(folder: Path) -> dict[str, object]:
    """{"version": ..., "classes": {class: [members]}} of a folder that holds `tensorrt_bindings`."""
    library = folder / "tensorrt_bindings" / "tensorrt.so"
    headers = _output("readelf", "--dynamic", "--wide", library)
    needed = re.findall(r"\(NEEDED\).*\[(libnv[^]]+)\]", headers)
    symbols = _output("readelf", "--dyn-syms", "--wide", library)
    entry_points = sorted(
        {
            name
            for name in re.findall(r"\bUND (\w+)$", symbols, re.MULTILINE)
            if re.match(r"create|getBuilder|getNv|getPlugin|initLib|_ZN\d+nv", name)
        }
    )
    with tempfile.TemporaryDirectory() as empty:
        source = Path(empty) / "empty.c"
        source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in entry_points))
        for name in needed:
            _output(
                "cc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", f"{empty}/{name}", source
            )
        environment = {**os.environ, "LD_LIBRARY_PATH": empty, "PYTHONPATH": str(folder)}
        listed = _output(
            sys.executable, "-c", _LIST, "tensorrt_bindings", *CLASSES, environment=environment
        )
    api: dict[str, object] = json.loads(listed)
    return api


def read_installed(module: str) -> dict[str, object]:
    """The same of a module that imports as it is, e.g. `tensorrt_rtx`."""
    api: dict[str, object] = json.loads(_output(sys.executable, "-c", _LIST, module, *CLASSES))
    return api


def renew() -> None:
    """Download every wheel and write the golden: class → member → versions that have it."""
    read = {}
    for distribution, version in WHEELS:
        with tempfile.TemporaryDirectory() as folder:
            _output(
                *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
                *("--dest", folder, f"{distribution}=={version}"),
            )
            (wheel,) = Path(folder).glob("*.whl")
            zipfile.ZipFile(wheel).extractall(folder)
            read[f"tensorrt {version}"] = read_binding(Path(folder))
    rtx = read_installed("tensorrt_rtx")
    read[f"tensorrt_rtx {rtx['version']}"] = rtx
    GOLDEN.write_text(as_text(read), encoding="utf-8")
    print(f"{GOLDEN}: {', '.join(read)}")


def as_text(read: dict[str, dict[str, object]]) -> str:
    """One line a member, so that a difference between versions is a readable diff."""
    versions = list(read)
    members: dict[str, dict[str, list[int]]] = {}
    for number, version in enumerate(versions):
        classes = read[version]["classes"]
        assert isinstance(classes, dict)
        for name, found in classes.items():
            for member in found:
                members.setdefault(name, {}).setdefault(member, []).append(number)
    lines = []
    for name in sorted(members):
        inner = ",\n".join(
            f"  {json.dumps(member)}: {json.dumps(members[name][member])}"
            for member in sorted(members[name])
        )
        lines.append(f"{json.dumps(name)}: {{\n{inner}\n}}")
    body = ",\n".join(lines)
    return f'{{"versions": {json.dumps(versions)},\n"classes": {{\n{body}\n}}}}\n'


def _output(*command: object, environment: dict[str, str] | None = None) -> str:
    return subprocess.run(
        [str(part) for part in command],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ).stdout


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--read", type=Path, metavar="FOLDER")
    folder = arguments.parse_args().read
    if folder is None:
        renew()
    else:
        print(json.dumps(read_binding(folder)))
