"""Collect TensorRT's messages, for a log file and for errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

# Levels of ILogger.Severity, the same in every version.
_ERROR, _WARNING, _INFO = 1, 2, 3
_LEVELS = ("INTERNAL ERROR", "ERROR", "WARNING", "INFO", "VERBOSE")

# TensorRT keeps a pointer to its first logger as long as the process lives, and crashes if Python frees that
# logger. So each binding has one logger that is never freed.
_loggers: dict[str, Any] = {}


class EngineLog:
    """Messages of one build or one opening.

    Attributes:
        errors, warnings: Messages in the order in which they came.
    """

    def __init__(self, file: TextIO | None = None) -> None:
        self.errors: list[str] = []
        self.warnings: list[str] = []
        self._file = file

    def add(self, severity: int, message: str) -> None:
        """Add one message of TensorRT."""
        if severity <= _ERROR:
            self.errors.append(message)
        elif severity == _WARNING:
            self.warnings.append(message)
        if self._file is not None and severity <= _INFO:
            self._file.write(f"[{_LEVELS[severity]}] {message}\n")

    def last_errors(self, count: int = 3) -> str:
        """Join the newest errors into a sentence; "no message" if there is none."""
        return "; ".join(text.strip() for text in self.errors[-count:]) or "no message"


def logger_of(module: ModuleType) -> Any:
    """Return the binding's one logger, which passes messages to the logs of `collecting`."""
    logger = _loggers.get(module.__name__)
    if logger is None:
        logger = _loggers[module.__name__] = _make_logger(module)
    return logger


@contextmanager
def collecting(module: ModuleType, path: Path | None = None) -> Iterator[EngineLog]:
    """Collect a binding's messages during the block; write INFO and above to `path`."""
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
