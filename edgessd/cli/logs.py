"""Messages of a running command: sentences for people, or one JSON object a line for machines."""

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
# syslog(3); journald reads the number in front of a line.
_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (0, 7))
_SECONDS_BETWEEN_LINES = 60.0


class LogForm(str, Enum):
    """How messages are written on stderr."""

    text = "text"
    json = "json"


def start_logging(form: LogForm) -> None:
    """Send what `edgessd` logs from now on, and warnings of others, to stderr.

    As JSON, nothing else is written there: no progress, no tables, and an error is a line too.
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
    """How often a long run logs how it goes; None where a person watches its progress instead."""
    return None if form is LogForm.text and sys.stderr.isatty() else _SECONDS_BETWEEN_LINES


class JsonFormatter(logging.Formatter):
    """`time` (ISO 8601, UTC), `level`, `logger`, `message`, and what the message says of itself."""

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
    """The sentence, after the time; journald knows the time, and is told how grave it is."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        super().__init__("%(asctime)s %(message)s", "%H:%M:%S")
        self._journal = _goes_to_journal(environment)

    def format(self, record: logging.LogRecord) -> str:
        if not self._journal:
            return super().format(record)
        priority = next(number for level, number in _PRIORITIES if record.levelno >= level)
        return "\n".join(f"<{priority}>{line}" for line in record.getMessage().splitlines())


class _StderrHandler(logging.Handler):
    """Looks up `sys.stderr` for each line: a progress display puts itself there while it runs."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(self.format(record) + "\n")
        sys.stderr.flush()


def _goes_to_journal(environment: Mapping[str, str]) -> bool:
    """Whether stderr is the very stream that systemd connected to the journal."""
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
