"""Classes and members of TensorRT that the code names, looked up in NVIDIA's bindings, and the dialects.

The golden is read from the bindings (tests/golden/renew_tensorrt_api.py). These tests don't show that a call
works on a GPU, and they show nothing of TensorRT 8.5, whose binding exists only inside a JetPack.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from edgessd.core.errors import BackendError
from edgessd.runtime.tensorrt import compile as compile_module
from edgessd.runtime.tensorrt.dialects import DIALECTS, Dialect, dialect_of
from edgessd.runtime.tensorrt.provider import parse_version

GOLDEN = Path(__file__).parents[2] / "golden" / "tensorrt_api.json"
READER = GOLDEN.with_name("renew_tensorrt_api.py")
CODE = Path(compile_module.__file__).parent

# (file, name of a variable) → class of TensorRT.
VARIABLES = {
    ("compile.py", "builder"): "Builder",
    ("compile.py", "network"): "INetworkDefinition",
    ("compile.py", "config"): "IBuilderConfig",
    ("compile.py", "parser"): "OnnxParser",
    ("compile.py", "error"): "ParserError",
    ("compile.py", "tensor"): "ITensor",
    ("compile.py", "timings"): "ITimingCache",
    ("compile.py", "runtime"): "Runtime",
    ("compile.py", "engine"): "ICudaEngine",
    ("compile.py", "inspector"): "EngineInspector",
    ("engine.py", "runtime"): "Runtime",
    ("engine.py", "_runtime"): "Runtime",
    ("engine.py", "engine"): "ICudaEngine",
    ("engine.py", "_engine"): "ICudaEngine",
    ("engine.py", "_context"): "IExecutionContext",
    ("engine.py", "config"): "IRuntimeConfig",
    ("engine.py", "kernels"): "IRuntimeCache",
    ("engine.py", "_kernels"): "IRuntimeCache",
}
MODULES = {"trt", "_trt", "module"}

# Members that only some dialects have, and that the code uses only for these.
ONLY = {
    ("BuilderFlag", "FP16"): lambda dialect: not dialect.strongly_typed,
    ("BuilderFlag", "INT8"): lambda dialect: not dialect.strongly_typed,
    ("ParserError", "node_name"): lambda dialect: dialect.node_names,
    ("ParserError", "node_operator"): lambda dialect: dialect.node_names,
    ("ComputeCapability", "SM86"): lambda dialect: dialect.ahead_of_time,
    ("IBuilderConfig", "num_compute_capabilities"): lambda dialect: dialect.ahead_of_time,
    ("IBuilderConfig", "set_compute_capability"): lambda dialect: dialect.ahead_of_time,
    ("IExecutionContext", "is_stream_capturable"): lambda dialect: dialect.tells_capturable,
    ("IRuntimeConfig", "create_runtime_cache"): lambda dialect: dialect.runtime_cache,
    ("IRuntimeConfig", "set_runtime_cache"): lambda dialect: dialect.runtime_cache,
    ("IRuntimeCache", "serialize"): lambda dialect: dialect.runtime_cache,
    ("IRuntimeCache", "deserialize"): lambda dialect: dialect.runtime_cache,
}
# Members that the code uses only for some dialects, though others have them, too.
NOT_EXCLUSIVE = {("ICudaEngine", "create_runtime_config"): lambda dialect: dialect.runtime_cache}
# Members whose names the code computes.
COMPUTED = {
    ("ComputeCapability", "SM86"),
    ("DataType", "FLOAT"),
    ("DataType", "HALF"),
    ("DataType", "INT8"),
    ("DataType", "INT32"),
}


class Api(NamedTuple):
    """Members of one version's binding."""

    name: str
    dialect: Dialect
    has: set[tuple[str, str]]


def apis() -> Iterator[Api]:
    golden = json.loads(GOLDEN.read_text())
    for number, title in enumerate(golden["versions"]):
        provider, version = title.split()
        has = {
            (name, member)
            for name, members in golden["classes"].items()
            for member, versions in members.items()
            if number in versions
        }
        yield Api(title, dialect_of(provider, parse_version(version)), has)


def used() -> set[tuple[str, str]]:
    """Collect (class, member) of TensorRT that the code names."""
    found = set(COMPUTED)
    for path in sorted(CODE.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Attribute):
                continue
            owner = _last_name(node.value)
            known = VARIABLES.get((path.name, owner))
            if known is not None:
                found.add((known, node.attr))
            elif isinstance(node.value, ast.Attribute) and _last_name(node.value.value) in MODULES:
                found.add((node.value.attr, node.attr))
    return {pair for pair in found if not pair[1].startswith("__") and pair[0][0].isupper()}


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def test_the_search_finds_known_members() -> None:
    found = used()
    assert len(found) > 50
    assert {
        ("Builder", "build_serialized_network"),
        ("BuilderFlag", "INT8"),
        ("IBuilderConfig", "set_memory_pool_limit"),
        ("ICudaEngine", "get_tensor_format"),
        ("IExecutionContext", "execute_async_v3"),
        ("IExecutionContext", "set_tensor_address"),
        ("ITensor", "allowed_formats"),
        ("OnnxParser", "parse"),
        ("Runtime", "deserialize_cuda_engine"),
    } <= found


@pytest.mark.parametrize("api", list(apis()), ids=lambda api: api.name.replace(" ", "-"))
def test_a_version_has_every_member_that_the_code_uses(api: Api) -> None:
    conditions = {**ONLY, **NOT_EXCLUSIVE}
    wanted = {pair for pair in used() if pair not in conditions or conditions[pair](api.dialect)}
    assert sorted(wanted - api.has) == []


@pytest.mark.parametrize("api", list(apis()), ids=lambda api: api.name.replace(" ", "-"))
def test_members_that_a_dialect_excludes_are_absent(api: Api) -> None:
    """The table states features that a version lacks, not features that edgessd doesn't use."""
    denied = {pair for pair, has in ONLY.items() if not has(api.dialect)}
    assert sorted(denied & api.has) == []


@pytest.mark.parametrize("api", list(apis()), ids=lambda api: api.name.replace(" ", "-"))
def test_a_version_has_the_network_flags_of_its_dialect(api: Api) -> None:
    flags = {("NetworkDefinitionCreationFlag", flag) for flag in api.dialect.network_flags}
    assert flags <= api.has


def test_every_entry_of_the_tables_is_used() -> None:
    assert set(ONLY) | set(NOT_EXCLUSIVE) <= used()


def test_each_dialect_except_that_of_8_5_is_checked_by_a_binding() -> None:
    rows = {dialect for table in DIALECTS.values() for _, dialect in table}
    checked = {api.dialect for api in apis()}
    assert rows - checked == {dialect_of("tensorrt", (8, 5))}


@pytest.mark.parametrize(
    ("version", "strongly", "flags"),
    [
        ((8, 5, 2), False, ("EXPLICIT_BATCH",)),
        ((8, 6, 1), False, ("EXPLICIT_BATCH",)),
        ((10, 3, 0), False, ()),
        ((10, 16, 1, 11), False, ()),
        ((11, 4, 0, 106), True, ()),
    ],
)
def test_each_version_has_its_dialect(version, strongly, flags) -> None:
    dialect = dialect_of("tensorrt", version)
    assert (dialect.strongly_typed, dialect.network_flags) == (strongly, flags)


def test_8_5_has_no_optimization_level() -> None:
    assert not dialect_of("tensorrt", (8, 5, 2)).optimization_level
    assert dialect_of("tensorrt", (8, 6, 0)).optimization_level


def test_a_tensorrt_of_jetpack_4_is_too_old() -> None:
    with pytest.raises(BackendError, match=r"8\.5 or newer.*Found 8\.2\.1.*onnxruntime"):
        dialect_of("tensorrt", (8, 2, 1))


def test_the_golden_equals_the_installed_binding() -> None:
    """Read the wheel tensorrt-cu13-bindings again, if it is installed."""
    found = importlib.util.find_spec("tensorrt_bindings")
    if found is None or found.origin is None:
        pytest.skip("the wheel tensorrt-cu13-bindings isn't installed")
    if shutil.which("cc") is None or shutil.which("readelf") is None:
        pytest.skip("no C compiler or no binutils to load the binding with")
    folder = Path(found.origin).parents[1]
    run = subprocess.run(
        [sys.executable, READER, "--read", folder], check=True, capture_output=True, text=True
    )
    _compare("tensorrt", json.loads(run.stdout))


def test_the_golden_equals_tensorrt_rtx() -> None:
    module = pytest.importorskip("tensorrt_rtx")
    classes = {name for name, _ in used()}
    live = {
        name: [member for member in dir(getattr(module, name)) if not member.startswith("_")]
        for name in classes
        if hasattr(module, name)
    }
    _compare("tensorrt_rtx", {"version": module.__version__, "classes": live})


def _compare(provider: str, live: dict) -> None:
    title = f"{provider} {live['version']}"
    recorded = {api.name: api for api in apis()}
    has = {(name, member) for name, members in live["classes"].items() for member in members}
    if title in recorded:
        classes = set(live["classes"])
        assert has == {pair for pair in recorded[title].has if pair[0] in classes}, (
            "renew it: python tests/golden/renew_tensorrt_api.py"
        )
    conditions = {**ONLY, **NOT_EXCLUSIVE}
    dialect = dialect_of(provider, parse_version(live["version"]))
    wanted = {pair for pair in used() if pair not in conditions or conditions[pair](dialect)}
    assert sorted(wanted - has) == []
