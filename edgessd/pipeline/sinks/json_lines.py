"""JSON Lines output: one JSON object per frame, for other programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from edgessd.pipeline.records import json_record
from edgessd.pipeline.sinks.text_file import TextFile

if TYPE_CHECKING:
    from edgessd.pipeline.result import Result


class JsonLinesSink:
    """Writes one line per frame. `pipeline/record.schema.json` is the schema of a line.

    Args:
        path: Path of a file, which is replaced if it exists; `-` for stdout.
        on_closed: Called when the reader of stdout has gone.

    Raises:
        SinkError: The file can't be written.
    """

    lossless = True
    own_thread = True

    def __init__(self, path: str, *, on_closed: Callable[[], None] | None = None) -> None:
        self.name = f"JSON lines to {path}"
        self._file = TextFile(path, what="JSON lines", on_closed=on_closed)
        self.files = self._file.files

    def write(self, result: Result) -> None:
        self._file.write(json.dumps(json_record(result)) + "\n")

    def close(self) -> None:
        self._file.close()
