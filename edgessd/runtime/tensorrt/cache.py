"""Cache of compiled engines by graph, machine and options.

An engine is two files: `KEY.plan`, which TensorRT loads, and `KEY.json`, its record. The record is written
last and holds the plan's sha256, so that a plan cut off by a crash or a full disk is never loaded.
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
    """Everything that an engine depends on. An engine runs on one TensorRT version and one GPU.

    Attributes:
        provider: `tensorrt` or `tensorrt_rtx`.
        version: Version of the provider.
        gpu: Name of the GPU.
        compute_capability: Compute capability of the GPU, e.g. "8.7".
        l4t: Jetson Linux release, "" elsewhere.
        graph_sha256: Hex sha256 of the .onnx.
        options: Options of the compilation.
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
        """Hex sha256 of all attributes."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()


class EngineRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Record beside a plan.

    Attributes:
        key: Key of the engine.
        plan_sha256, plan_bytes: Hex sha256 and length of the plan.
        report: Layers by precision; None if TensorRT gave none.
        notes: Sentences for a person.
        seconds: Duration of the compilation.
        edgessd: Version of edgessd that compiled it.
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
    """Engine on disk.

    Attributes:
        plan: File of the plan.
        record: Record of the plan.
        cached: True if the cache had the engine before the call.
    """

    plan: Path
    record: EngineRecord
    cached: bool


def default_cache() -> Path:
    """Return $EDGESSD_CACHE/engines, else $XDG_CACHE_HOME/edgessd/engines, else ~/.cache/edgessd/engines."""
    return cache_directory() / "engines"


def record_path(plan: Path) -> Path:
    """Return the path of a plan's record."""
    return plan.with_suffix(".json")


def read_record(plan: Path) -> EngineRecord:
    """Read the record of a plan, and verify the plan against it.

    Raises:
        BackendError: The record is missing or of another edgessd, or the plan was changed or cut off.
    """
    path = record_path(plan)
    fix = "Compile it again: edgessd build --finish BUNDLE --rebuild"
    try:
        record = msgspec.json.decode(path.read_bytes(), type=EngineRecord)
    except (OSError, msgspec.DecodeError, EdgessdError) as error:
        raise BackendError(
            f"The engine {plan} has no readable record",
            expected=f"{path.name} beside it",
            found=str(error),
            fix=fix,
        ) from error
    if record.record_version != RECORD_VERSION or not plan.is_file():
        raise BackendError(
            f"The engine {plan} is from another version of edgessd",
            expected=f"record version {RECORD_VERSION} and its plan",
            found=f"version {record.record_version}"
            if plan.is_file()
            else "the record without its plan",
            fix=fix,
        )
    if plan.stat().st_size != record.plan_bytes or sha256_of(plan) != record.plan_sha256:
        raise BackendError(
            f"The engine {plan} was changed or cut off since it was compiled",
            expected=f"{record.plan_bytes} bytes, sha256 {record.plan_sha256[:16]}…",
            found=f"{plan.stat().st_size} bytes, sha256 {sha256_of(plan)[:16]}…",
            fix=fix,
        )
    return record


class EngineCache:
    """Folder of engines for several processes at once: one compiles an engine, the others wait for it.

    Args:
        folder: Folder of the cache; made if it is missing.

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
        """Return the path of a key's plan, whether it exists or not."""
        return self.folder / f"{key.digest}.plan"

    def log_path(self, key: EngineKey) -> Path:
        """Return the path of a key's build log, whether it exists or not."""
        return self.folder / f"{key.digest}.log"

    def timing_cache(self, key: EngineKey) -> Path:
        """Return the path of the kernel timings, shared by all graphs of one TensorRT version and GPU."""
        name = "-".join((key.provider, key.version, key.gpu, key.compute_capability, key.l4t))
        return self.folder / f"timing-{hashlib.sha256(name.encode()).hexdigest()[:16]}.cache"

    def find(self, key: EngineKey) -> EngineRecord | None:
        """Return the record of a key's engine; None if there is none that can be loaded."""
        try:
            record = read_record(self.plan_path(key))
        except BackendError:  # after any error the engine is compiled again
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
        """Return the engine of a key, and compile it if it is missing.

        Args:
            key: Key of the engine.
            compile_it: Compiles it; called at most once, and in one process at a time.
            rebuild: Compile it in any case.
            progress: Receives sentences for a person who waits.

        Raises:
            BackendError: The cache can't be written. Errors of `compile_it` pass through.
        """
        plan = self.plan_path(key)
        say = progress or (lambda sentence: None)
        with self._locked(key, say):
            record = None if rebuild else self.find(key)
            if record is not None:
                return CachedEngine(plan=plan, record=record, cached=True)
            if record_path(plan).exists():
                say("The engine in the cache is damaged or out of date: compiling again")
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
        """Remove a key's files and temporary files of killed processes; a plan without record never loads."""
        plan = self.plan_path(key)
        for path in (record_path(plan), plan, *self.folder.glob(f".{key.digest}-*")):
            path.unlink(missing_ok=True)

    @contextmanager
    def _locked(self, key: EngineKey, say: Callable[[str], None]) -> Iterator[None]:
        """Hold the key's lock during the block. The system releases it if the process is killed."""
        path = self.folder / f"{key.digest}.lock"
        try:
            file = path.open("w")
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("Another process is compiling this engine: waiting for it")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _write_durably(path: Path, content: bytes, prefix: str) -> None:
    """Write under a temporary name, flush to disk, rename, and flush the name to disk, too."""
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
        fix="Free some disk space, or choose another folder: export EDGESSD_CACHE=/path/to/folder",
    )
