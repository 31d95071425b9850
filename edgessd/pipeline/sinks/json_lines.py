"""One JSON object a frame, for other programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from edgessd.pipeline.records import json_record
from edgessd.pipeline.sinks.text_file import TextFile

if TYPE_CHECKING:
    from edgessd.pipeline.result import Result


class JsonLinesSink:
    """Writes JSON lines as they come; `pipeline/record.schema.json` says what is in one.

    Args:
        path: A file, replaced if it exists; `-` is stdout.
        on_closed: Called when whoever reads stdout has gone.

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
