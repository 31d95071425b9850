"""Table of all backends by name; their modules are loaded on demand."""

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
    """Entry of a backend.

    Attributes:
        module: Name of the module, which has `open_engine(path, *, threads) -> Backend` and
            `library_version() -> str`.
        formats: Engine formats that it runs, as in `EngineFile.format`.
    """

    module: str
    formats: tuple[str, ...]

    def load(self) -> ModuleType:
        """Import the backend's module."""
        return import_module(self.module)


BACKENDS: dict[str, BackendEntry] = {
    "litert": BackendEntry(module="edgessd.runtime.tflite_backend", formats=("tflite",)),
    "onnxruntime": BackendEntry(module="edgessd.runtime.ort_backend", formats=("onnx",)),
    "tensorrt": BackendEntry(module="edgessd.runtime.tensorrt.backend", formats=("tensorrt",)),
}


def backend_entry(name: str) -> BackendEntry:
    """Return the entry of a backend; raise BackendError for an unknown name."""
    try:
        return BACKENDS[name]
    except KeyError:
        raise BackendError(
            f"There is no backend {name!r}", expected=" or ".join(BACKENDS), found=name
        ) from None


def backends_for(engine_format: str) -> tuple[str, ...]:
    """Return the names of the backends that run an engine format, best first."""
    return tuple(name for name, entry in BACKENDS.items() if engine_format in entry.formats)


def default_threads(wanted: int = 4) -> int:
    """Return `wanted` threads, or fewer if this process may use fewer cores."""
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
    """Open an engine with the named backend, else with the first preferred one that runs its format.

    Args:
        path: Engine file.
        engine_format: `tflite`, `onnx` or `tensorrt`.
        backend: A name from `BACKENDS`; None takes the first that fits.
        preferred: Names in the target's order; unknown names are skipped.
        threads: CPU threads; None takes at most four.

    Raises:
        BackendError: The backend is unknown, doesn't run the format, or lacks its library.
    """
    fitting = backends_for(engine_format)
    if backend is None:
        chosen = next((name for name in preferred if name in fitting), None)
        backend = chosen or (fitting[0] if fitting else None)
    if backend is None:
        raise BackendError(
            f"No backend runs {engine_format} engines",
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
