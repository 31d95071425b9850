"""Every backend by name: an explicit table, loaded on demand."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

from edgessd.core.errors import BackendError
from edgessd.runtime.backend import Backend


@dataclass(frozen=True, kw_only=True, slots=True)
class BackendEntry:
    """Where a backend lives and what it runs.

    Attributes:
        module: With `open_engine(path, *, threads) -> Backend` and `library_version() -> str`.
        formats: Engine formats, as in `EngineFile.format`.
    """

    module: str
    formats: tuple[str, ...]

    def load(self) -> ModuleType:
        return import_module(self.module)


BACKENDS: dict[str, BackendEntry] = {
    "litert": BackendEntry(module="edgessd.runtime.tflite_backend", formats=("tflite",)),
    "onnxruntime": BackendEntry(module="edgessd.runtime.ort_backend", formats=("onnx",)),
    "tensorrt": BackendEntry(module="edgessd.runtime.tensorrt.backend", formats=("tensorrt",)),
}


def backend_entry(name: str) -> BackendEntry:
    """The entry of a backend, or a BackendError with the names there are."""
    try:
        return BACKENDS[name]
    except KeyError:
        raise BackendError(
            f"There is no backend {name!r}", expected=" or ".join(BACKENDS), found=name
        ) from None


def backends_for(engine_format: str) -> tuple[str, ...]:
    """Names of the backends that run an engine format, best first."""
    return tuple(name for name, entry in BACKENDS.items() if engine_format in entry.formats)


def default_threads(wanted: int = 4) -> int:
    """At most `wanted` threads, and no more than the cores this process may use."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(wanted, usable or 1))


def open_engine(
    path: Path,
    engine_format: str,
    *,
    backend: str | None = None,
    preferred: Sequence[str] = (),
    threads: int | None = None,
) -> Backend:
    """Open an engine with the backend that was asked for, else the first preferred one that fits.

    Args:
        path: The engine file.
        engine_format: `tflite`, `onnx` or `tensorrt`.
        backend: A name from `BACKENDS`; None chooses.
        preferred: Names in the order of the target; ones unknown here are passed over.
        threads: None means at most four.

    Raises:
        BackendError: Unknown backend, one that doesn't run the format, or its library is missing.
    """
    fitting = backends_for(engine_format)
    if backend is None:
        chosen = next((name for name in preferred if name in fitting), None)
        backend = chosen or (fitting[0] if fitting else None)
    if backend is None:
        raise BackendError(
            f"No backend here runs {engine_format} engines",
            expected=", ".join(sorted({form for e in BACKENDS.values() for form in e.formats})),
            found=path.name,
        )
    entry = backend_entry(backend)
    if engine_format not in entry.formats:
        raise BackendError(
            f"The backend {backend} doesn't run {path.name}",
            expected=" or ".join(f".{form}" for form in entry.formats),
            found=f"a {engine_format} engine",
            fix=f"Use --backend {fitting[0]}" if fitting else None,
        )
    opened: Backend = entry.load().open_engine(path, threads=threads or default_threads())
    return opened
