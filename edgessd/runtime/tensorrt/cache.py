"""Compiled engines by what they were compiled from, where, and how.

An engine is two files: `KEY.plan`, what TensorRT loads, and `KEY.json`, its record. The record is written
last and holds the plan's sha256, so that neither a crash nor a full disk leaves anything that loads.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkstemp

import msgspec

from edgessd.core.errors import BackendError, EdgessdError
from edgessd.core.files import cache_directory, sha256_of
from edgessd.core.tensors import TensorSpec
from edgessd.runtime.tensorrt.compiled_engine import CompiledEngine
from edgessd.runtime.tensorrt.layer_report import LayerReport
from edgessd.runtime.tensorrt.options import EngineOptions
from edgessd.version import __version__

RECORD_VERSION = 1


class EngineKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that an engine depends on. TensorRT's engines are locked to its version and to the GPU.

    Attributes:
        provider: `tensorrt` or `tensorrt_rtx`.
        version: Of it.
        gpu: Name of the GPU.
        compute_capability: Of the GPU, e.g. "8.7".
        l4t: Jetson Linux release, "" elsewhere.
        graph_sha256: Of the .onnx.
        options: How it was compiled.
        inputs, outputs: Tensors of the engine.
    """

    provider: str
    version: str
    gpu: str
    compute_capability: str
    l4t: str
    graph_sha256: str
    options: EngineOptions
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @property
    def digest(self) -> str:
        """Hex sha256 over all of it."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()


class EngineRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What lies beside a plan.

    Attributes:
        key: What it was compiled from.
        plan_sha256, plan_bytes: Of the plan.
        report: Layers by precision, if TensorRT told.
        notes: What a person should know, in sentences.
        seconds: The compilation took.
        edgessd: Version that compiled it.
    """

    key: EngineKey
    plan_sha256: str
    plan_bytes: int
    report: LayerReport | None
    notes: tuple[str, ...]
    seconds: float
    edgessd: str
    record_version: int = RECORD_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class CachedEngine:
    """An engine on disk.

    Attributes:
        plan: Its file.
        record: What it is.
        cached: It was there already.
    """

    plan: Path
    record: EngineRecord
    cached: bool


def default_cache() -> Path:
    """$EDGESSD_CACHE/engines, else $XDG_CACHE_HOME/edgessd/engines, else ~/.cache/edgessd/engines."""
    return cache_directory() / "engines"


def record_path(plan: Path) -> Path:
    """Where a plan's record lies."""
    return plan.with_suffix(".json")


def read_record(plan: Path) -> EngineRecord:
    """The record of a plan, once the plan is what the record says.

    Raises:
        BackendError: No record, one of another edgessd, or a plan that was changed or cut off.
    """
    path = record_path(plan)
    fix = "Compile it again: edgessd build --finish BUNDLE --rebuild"
    try:
        record = msgspec.json.decode(path.read_bytes(), type=EngineRecord)
    except (OSError, msgspec.DecodeError, EdgessdError) as error:
        raise BackendError(
            f"TensorRT refuses {plan}: it has no record of what it is", found=str(error), fix=fix
        ) from error
    if record.record_version != RECORD_VERSION or not plan.is_file():
        raise BackendError(
            f"TensorRT refuses {plan}: this edgessd didn't compile it",
            expected=f"record version {RECORD_VERSION} and its plan",
            found=f"version {record.record_version}"
            if plan.is_file()
            else "the record without its plan",
            fix=fix,
        )
    if plan.stat().st_size != record.plan_bytes or sha256_of(plan) != record.plan_sha256:
        raise BackendError(
            f"TensorRT refuses {plan}: it was changed or cut off since it was compiled",
            expected=f"{record.plan_bytes} bytes, sha256 {record.plan_sha256[:16]}…",
            found=f"{plan.stat().st_size} bytes, sha256 {sha256_of(plan)[:16]}…",
            fix=fix,
        )
    return record


class EngineCache:
    """A folder of engines. Several processes may use it at once: one compiles, the others wait for it.

    Args:
        folder: Made if it isn't there.

    Raises:
        BackendError: The folder can't be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(folder, error) from error

    def plan_path(self, key: EngineKey) -> Path:
        """Where the engine of a key lies, or would."""
        return self.folder / f"{key.digest}.plan"

    def log_path(self, key: EngineKey) -> Path:
        """Where the compilation's log lies, or would."""
        return self.folder / f"{key.digest}.log"

    def timing_cache(self, key: EngineKey) -> Path:
        """Kernel timings, shared by all graphs of a provider's version and a GPU."""
        name = "-".join((key.provider, key.version, key.gpu, key.compute_capability, key.l4t))
        return self.folder / f"timing-{hashlib.sha256(name.encode()).hexdigest()[:16]}.cache"

    def find(self, key: EngineKey) -> EngineRecord | None:
        """The record of a key's engine, None where there is none that may be loaded."""
        try:
            record = read_record(self.plan_path(key))
        except BackendError:  # compiled anew, whatever is wrong with it
            return None
        return record if record.key == key else None

    def get_or_compile(
        self,
        key: EngineKey,
        compile_it: Callable[[], CompiledEngine],
        *,
        rebuild: bool = False,
        progress: Callable[[str], None] | None = None,
    ) -> CachedEngine:
        """The engine of a key, compiled if it isn't there.

        Args:
            key: What it depends on.
            compile_it: Makes it; called at most once, while no other process makes the same.
            rebuild: Compile it in any case.
            progress: Gets sentences for a person who waits.

        Raises:
            BackendError: The cache can't be written; and whatever `compile_it` raises.
        """
        plan = self.plan_path(key)
        say = progress or (lambda sentence: None)
        with self._locked(key, say):
            record = None if rebuild else self.find(key)
            if record is not None:
                return CachedEngine(plan=plan, record=record, cached=True)
            if record_path(plan).exists():
                say("What the engine cache holds isn't what was compiled: compiling again")
            self._remove(key)
            engine = compile_it()
            record = EngineRecord(
                key=key,
                plan_sha256=hashlib.sha256(engine.content).hexdigest(),
                plan_bytes=len(engine.content),
                report=engine.report,
                notes=engine.notes,
                seconds=engine.seconds,
                edgessd=__version__,
            )
            text = msgspec.json.format(msgspec.json.encode(record), indent=2)
            try:
                _write_durably(plan, engine.content, key.digest)
                _write_durably(record_path(plan), text, key.digest)
            except OSError as error:
                raise _unwritable(self.folder, error) from error
        return CachedEngine(plan=plan, record=record, cached=False)

    def _remove(self, key: EngineKey) -> None:
        """The record first: a plan alone never loads. Also what a killed process left half-written."""
        plan = self.plan_path(key)
        for path in (record_path(plan), plan, *self.folder.glob(f".{key.digest}-*")):
            path.unlink(missing_ok=True)

    @contextmanager
    def _locked(self, key: EngineKey, say: Callable[[str], None]) -> Iterator[None]:
        """Hold the key's lock, which the system releases however the process ends."""
        path = self.folder / f"{key.digest}.lock"
        try:
            file = path.open("w")
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("Another process compiles this very engine: waiting for it")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _write_durably(path: Path, content: bytes, prefix: str) -> None:
    """Write under a temporary name, reach the disk, rename, and have the name reach the disk, too."""
    handle, name = mkstemp(dir=path.parent, prefix=f".{prefix}-", suffix=path.suffix)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)  # noqa: PTH105 - `name` is mkstemp's
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)  # noqa: PTH108
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _unwritable(folder: Path, error: OSError) -> BackendError:
    return BackendError(
        f"The engine cache {folder} can't be written",
        found=error.strerror or str(error),
        fix="Free some space, or name another folder: export EDGESSD_CACHE=/path/to/folder",
    )
