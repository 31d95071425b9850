"""Messages of a running command: sentences, or one JSON object a line."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Mapping
from datetime import datetime, timezone
from enum import Enum
from types import TracebackType
from typing import Any

from edgessd.cli import console

_log = logging.getLogger("edgessd")
# Priorities of syslog(3); journald reads the number in front of a line.
_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (0, 7))
_SECONDS_BETWEEN_LINES = 60.0


class LogForm(str, Enum):
    """Form of the messages on stderr."""

    text = "text"
    json = "json"


def start_logging(form: LogForm) -> None:
    """Write the log of `edgessd`, and warnings of other packages, to stderr from now on.

    As JSON, stderr has no other output: no progress and no tables, and an error is a line too.
    """
    handler = _StderrHandler()
    handler.setFormatter(JsonFormatter() if form is LogForm.json else TextFormatter())
    root = logging.getLogger()
    for old in [each for each in root.handlers if isinstance(each, _StderrHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    logging.getLogger("edgessd").setLevel(logging.INFO)
    logging.captureWarnings(True)
    console.quiet = form is LogForm.json
    if form is LogForm.json:
        sys.excepthook = _log_exception
        threading.excepthook = lambda failed: _log_exception(
            failed.exc_type, failed.exc_value, failed.exc_traceback
        )


def seconds_between_lines(form: LogForm) -> float | None:
    """Return the time between two status lines; None if a person sees the progress display instead."""
    return None if form is LogForm.text and sys.stderr.isatty() else _SECONDS_BETWEEN_LINES


class JsonFormatter(logging.Formatter):
    """Format a message as JSON: `time` (ISO 8601, UTC), `level`, `logger`, `message` and its own keys."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(
                timespec="milliseconds"
            ),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(getattr(record, "edgessd", {}))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """Format a message as the time and a sentence; for journald as the priority and the sentence."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        super().__init__("%(asctime)s %(message)s", "%H:%M:%S")
        self._journal = _goes_to_journal(environment)

    def format(self, record: logging.LogRecord) -> str:
        if not self._journal:
            return super().format(record)
        priority = next(number for level, number in _PRIORITIES if record.levelno >= level)
        return "\n".join(f"<{priority}>{line}" for line in record.getMessage().splitlines())


class _StderrHandler(logging.Handler):
    """Write each line to the current `sys.stderr`, which a progress display replaces while it runs."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(self.format(record) + "\n")
        sys.stderr.flush()


def _goes_to_journal(environment: Mapping[str, str]) -> bool:
    """Return True if stderr is the stream that systemd connected to the journal."""
    stated = environment.get("JOURNAL_STREAM", "")
    try:
        about = os.fstat(2)
    except OSError:
        return False
    return stated == f"{about.st_dev}:{about.st_ino}"


def _log_exception(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt) or error is None:
        return
    _log.critical(
        "%s: %s",
        kind.__name__,
        error,
        exc_info=(kind, error, trace),
        extra={"edgessd": {"event": "crashed"}},
    )
