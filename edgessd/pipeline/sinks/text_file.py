"""A text file or stdout, written by lines: the output of JSON lines and CSV."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from edgessd.core.errors import SinkError


class TextFile:
    """A file or stdout. Each write is flushed, so that a reader can follow with `tail -f`.

    Args:
        path: Path of a file, which is replaced if it exists; `-` for stdout.
        what: Contents for messages, such as `JSON lines`.
        on_closed: Called once when the reader of stdout has gone, as `head` does; None makes that an error.

    Raises:
        SinkError: The file can't be written.
    """

    def __init__(
        self, path: str, *, what: str, on_closed: Callable[[], None] | None = None
    ) -> None:
        self._path, self._what, self._on_closed = path, what, on_closed
        self.files = () if path == "-" else (Path(path),)
        self._file: TextIO
        if path == "-":
            self._file = sys.stdout
            return
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._file = Path(path).open("w", encoding="utf-8")  # noqa: SIM115 - closed in close()
        except OSError as error:
            raise SinkError(
                f"The {what} can't be written to {path}",
                found=error.strerror or str(error),
                fix="Give a file in a folder that you may write to, or - for stdout.",
            ) from error

    def write(self, text: str) -> None:
        """Write whole lines.

        Raises:
            SinkError: The disk is full, or stdout was closed by its reader.
        """
        try:
            self._file.write(text)
            self._file.flush()
        except BrokenPipeError as error:
            # Python would fail again at exit, where it writes the rest of the buffer.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._file.fileno())
            if self._on_closed is None:
                raise SinkError("The reader of stdout has gone") from error
            on_closed, self._on_closed = self._on_closed, _nothing
            on_closed()
        except OSError as error:
            raise SinkError(
                f"The {self._what} can't be written to {self._path} any more",
                found=error.strerror or str(error),
                fix="Earlier lines are complete. Make room, or give a file on another disk.",
            ) from error

    def close(self) -> None:
        """Close the file. May be called twice."""
        if self._path == "-" or self._file.closed:
            return
        try:
            self._file.close()
        except OSError as error:
            raise SinkError(
                f"The {self._what} in {self._path} may lack their end",
                found=error.strerror or str(error),
            ) from error


def _nothing() -> None:
    """Do nothing, in place of an `on_closed` that was called."""
