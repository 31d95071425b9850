"""The engine cache: keys, damage, killed processes, and several processes at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from edgessd.core.errors import BackendError
from edgessd.core.tensors import TensorSpec
from edgessd.runtime.tensorrt.cache import (
    EngineCache,
    EngineKey,
    default_cache,
    read_record,
    record_path,
)
from edgessd.runtime.tensorrt.compiled_engine import CompiledEngine
from edgessd.runtime.tensorrt.layer_report import LayerReport
from edgessd.runtime.tensorrt.options import EngineOptions

KEY = EngineKey(
    provider="tensorrt",
    version="10.3.0",
    gpu="Orin",
    compute_capability="8.7",
    l4t="36.4.3",
    graph_sha256="ab" * 32,
    options=EngineOptions(precision="int8"),
    inputs=(TensorSpec(name="image", shape=(1, 3, 8, 8), dtype="float16", layout="NCHW"),),
    outputs=(TensorSpec(name="box_codes", shape=(1, 4, 4), dtype="float16"),),
)
REPORT = LayerReport(layers={"INT8": ("conv",)})


def compiling(content: bytes = b"plan", calls: list[bytes] | None = None):
    def compile_it() -> CompiledEngine:
        if calls is not None:
            calls.append(content)
        return CompiledEngine(
            content=content, typed="weakly", report=REPORT, seconds=1.5, notes=("a note",)
        )

    return compile_it


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "engines")


def test_compiles_once_and_keeps_plan_report_and_notes(cache: EngineCache) -> None:
    calls: list[bytes] = []
    first = cache.get_or_compile(KEY, compiling(calls=calls))
    again = cache.get_or_compile(KEY, compiling(calls=calls))
    assert (first.cached, again.cached, calls) == (False, True, [b"plan"])
    assert again.plan.read_bytes() == b"plan"
    assert again.record.report == REPORT
    assert again.record.notes == ("a note",)
    assert read_record(again.plan) == again.record == first.record


@pytest.mark.parametrize(
    "change",
    [
        {"provider": "tensorrt_rtx"},
        {"version": "10.3.1"},
        {"gpu": "Orin Nano"},
        {"compute_capability": "8.6"},
        {"l4t": "36.4.4"},
        {"graph_sha256": "ac" * 32},
        {"options": EngineOptions(precision="fp16")},
        {"options": EngineOptions(precision="int8", dla_core=0)},
        {"options": EngineOptions(precision="int8", workspace_mb=512)},
        {"options": EngineOptions(precision="int8", optimization_level=5)},
        {"outputs": KEY.inputs},
    ],
)
def test_every_part_of_the_key_changes_the_engine(cache: EngineCache, change) -> None:
    cache.get_or_compile(KEY, compiling())
    other = cache.get_or_compile(msgspec.structs.replace(KEY, **change), compiling(b"other"))
    assert not other.cached
    assert cache.find(KEY) is not None


def test_rebuild_compiles_an_engine_that_exists(cache: EngineCache) -> None:
    cache.get_or_compile(KEY, compiling())
    again = cache.get_or_compile(KEY, compiling(b"new plan"), rebuild=True)
    assert not again.cached
    assert again.plan.read_bytes() == b"new plan"


def cut(plan: Path) -> None:
    plan.write_bytes(plan.read_bytes()[:-1])


def flip(plan: Path) -> None:
    plan.write_bytes(b"q" + plan.read_bytes()[1:])


def lose_plan(plan: Path) -> None:
    plan.unlink()


def lose_record(plan: Path) -> None:
    record_path(plan).unlink()


def cut_record(plan: Path) -> None:
    record_path(plan).write_bytes(record_path(plan).read_bytes()[:-20])


def claim_another_version(plan: Path) -> None:
    record = json.loads(record_path(plan).read_text())
    record["key"]["version"] = "10.3.9"
    record_path(plan).write_text(json.dumps(record))


def claim_another_format(plan: Path) -> None:
    record = json.loads(record_path(plan).read_text())
    record["record_version"] = 99
    record_path(plan).write_text(json.dumps(record))


@pytest.mark.parametrize(
    "damage",
    [cut, flip, lose_plan, lose_record, cut_record, claim_another_version, claim_another_format],
)
def test_a_damaged_engine_is_compiled_again(
    cache: EngineCache, damage: Callable[[Path], None]
) -> None:
    damage(cache.get_or_compile(KEY, compiling()).plan)
    assert cache.find(KEY) is None
    sentences: list[str] = []
    again = cache.get_or_compile(KEY, compiling(b"compiled again"), progress=sentences.append)
    assert not again.cached
    assert again.plan.read_bytes() == b"compiled again"
    assert cache.find(KEY) == again.record
    assert bool(sentences) == (damage is not lose_record)


@pytest.mark.parametrize("damage", [cut, flip, lose_plan, lose_record, cut_record])
def test_a_damaged_engine_is_refused_with_the_next_command(
    cache: EngineCache, damage: Callable[[Path], None]
) -> None:
    plan = cache.get_or_compile(KEY, compiling()).plan
    damage(plan)
    with pytest.raises(BackendError, match=r"The engine .*--finish BUNDLE --rebuild"):
        read_record(plan)


def test_a_failed_compilation_leaves_nothing_that_loads(cache: EngineCache) -> None:
    cache.get_or_compile(KEY, compiling())

    def fail() -> CompiledEngine:
        raise BackendError("TensorRT couldn't compile the engine")

    with pytest.raises(BackendError):
        cache.get_or_compile(KEY, fail, rebuild=True)
    assert cache.find(KEY) is None
    assert not cache.plan_path(KEY).exists()


# Compiles in the given folder: writes 64 MiB, so that a kill comes in the middle, again and again.
_WRITER = """
import sys, time
from pathlib import Path
import msgspec
from edgessd.runtime.tensorrt.cache import EngineCache, EngineKey
from edgessd.runtime.tensorrt.compiled_engine import CompiledEngine

key = msgspec.json.decode(sys.argv[2], type=EngineKey)
def compile_it():
    print("compiling", flush=True)
    time.sleep(float(sys.argv[3]))
    content = b"engine" * (int(sys.argv[4]) // 6)
    return CompiledEngine(content=content, typed="weakly", report=None, seconds=0.0)
engine = EngineCache(Path(sys.argv[1])).get_or_compile(key, compile_it, rebuild="again" in sys.argv)
print("cached" if engine.cached else "compiled", flush=True)
"""


def writer(cache: EngineCache, *arguments: object) -> subprocess.Popen[str]:
    key = msgspec.json.encode(KEY).decode()
    command = [sys.executable, "-c", _WRITER, str(cache.folder), key, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.06])
def test_a_killed_process_leaves_nothing_that_loads(cache: EngineCache, delay: float) -> None:
    """A process is killed while it writes; the remains are never loaded, and the next build works."""
    process = writer(cache, 0, 64 << 20)
    assert process.stdout is not None
    assert process.stdout.readline() == "compiling\n"
    time.sleep(delay)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    record = cache.find(KEY)
    if record is not None:  # if it finished before the kill, everything must be there
        assert cache.plan_path(KEY).stat().st_size == record.plan_bytes
    else:
        assert not cache.get_or_compile(KEY, compiling(b"whole")).cached
        assert cache.plan_path(KEY).read_bytes() == b"whole"
        assert [path for path in cache.folder.iterdir() if path.name.startswith(".")] == []


def test_a_kill_during_a_rebuild_does_not_bring_the_old_engine_back(cache: EngineCache) -> None:
    cache.get_or_compile(KEY, compiling(b"old"))
    process = writer(cache, 30, 6, "again")
    assert process.stdout is not None
    assert process.stdout.readline() == "compiling\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert cache.find(KEY) is None


def test_two_processes_compile_one_engine_once(cache: EngineCache) -> None:
    process = writer(cache, 0.5, 60)
    assert process.stdout is not None
    assert process.stdout.readline() == "compiling\n"
    sentences: list[str] = []
    engine = cache.get_or_compile(KEY, compiling(), progress=sentences.append)
    assert engine.cached
    assert "waiting" in sentences[0]
    assert process.stdout.readline() == "compiled\n"
    process.wait()
    process.stdout.close()


def test_two_threads_compile_one_engine_once(cache: EngineCache) -> None:
    calls: list[bytes] = []
    barrier = threading.Barrier(3)

    def work() -> None:
        barrier.wait()
        cache.get_or_compile(KEY, compiling(calls=calls))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == [b"plan"]


def test_an_unwritable_folder_is_refused_with_the_variable_that_changes_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BackendError, match=r"can't be written.*export EDGESSD_CACHE="):
        EngineCache(tmp_path / "file" / "engines")


def test_the_environment_sets_the_folder_of_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGESSD_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/someone")
    assert default_cache() == Path("/home/someone/.cache/edgessd/engines")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache")
    assert default_cache() == Path("/var/cache/edgessd/engines")
    monkeypatch.setenv("EDGESSD_CACHE", "/data")
    assert default_cache() == Path("/data/engines")
