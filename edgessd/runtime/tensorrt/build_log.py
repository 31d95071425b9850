"""What TensorRT says while it works: kept, written to a file, and given back in errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

# Levels of ILogger.Severity, the same in every version.
_ERROR, _WARNING, _INFO = 1, 2, 3
_LEVELS = ("INTERNAL ERROR", "ERROR", "WARNING", "INFO", "VERBOSE")

# TensorRT keeps a pointer to the first logger it is given, for as long as the process lives. One that
# Python has freed crashes it, so there is one for each binding, for ever.
_loggers: dict[str, Any] = {}


class EngineLog:
    """Messages of one build or one opening.

    Attributes:
        errors, warnings: In the order in which they came.
    """

    def __init__(self, file: TextIO | None = None) -> None:
        self.errors: list[str] = []
        self.warnings: list[str] = []
        self._file = file

    def add(self, severity: int, message: str) -> None:
        """Take one message of TensorRT's."""
        if severity <= _ERROR:
            self.errors.append(message)
        elif severity == _WARNING:
            self.warnings.append(message)
        if self._file is not None and severity <= _INFO:
            self._file.write(f"[{_LEVELS[severity]}] {message}\n")

    def last_errors(self, count: int = 3) -> str:
        """The newest errors, for a sentence; a word where there is none."""
        return "; ".join(text.strip() for text in self.errors[-count:]) or "no message"


def logger_of(module: ModuleType) -> Any:
    """The binding's one logger, which hands everything to the logs that `collecting` opened."""
    logger = _loggers.get(module.__name__)
    if logger is None:
        logger = _loggers[module.__name__] = _make_logger(module)
    return logger


@contextmanager
def collecting(module: ModuleType, path: Path | None = None) -> Iterator[EngineLog]:
    """Collect what a binding says within the block, and write INFO and above to `path`."""
    logger = logger_of(module)
    file = None
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w", encoding="utf-8")
    log = EngineLog(file)
    logger.logs.append(log)
    try:
        yield log
    finally:
        logger.logs.remove(log)
        if file is not None:
            file.close()


def _make_logger(module: ModuleType) -> Any:
    class Logger(module.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            module.ILogger.__init__(self)
            self.logs: list[EngineLog] = []

        def log(self, severity: Any, message: str) -> None:
            for log in self.logs:
                log.add(int(severity), message)

    return Logger()
