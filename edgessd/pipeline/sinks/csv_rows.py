"""CSV output: one row per detection, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import TYPE_CHECKING

from edgessd.pipeline.sinks.text_file import TextFile
from edgessd.pipeline.tracking import track_ids_of

if TYPE_CHECKING:
    from edgessd.pipeline.result import Result

COLUMNS = (
    "source",
    "stream",
    "frame",
    "timestamp",
    "label",
    "score",
    "x1",
    "y1",
    "x2",
    "y2",
    "track_id",
    "delay_ms",
)


class CsvSink:
    """Writes RFC 4180 rows under a header of `COLUMNS`. A frame without detections has no row.

    Args:
        path: Path of a file, which is replaced if it exists; `-` for stdout.
        on_closed: Called when the reader of stdout has gone.

    Raises:
        SinkError: The file can't be written.
    """

    lossless = True
    own_thread = True

    def __init__(self, path: str, *, on_closed: Callable[[], None] | None = None) -> None:
        self.name = f"CSV to {path}"
        self._file = TextFile(path, what="CSV rows", on_closed=on_closed)
        self.files = self._file.files
        self._file.write(",".join(COLUMNS) + "\r\n")

    def write(self, result: Result) -> None:
        frame = result.frame
        rows = io.StringIO()
        writer = csv.writer(rows)
        named = zip(result.detections.named(), track_ids_of(result.detections), strict=True)
        for (label, score, box), track_id in named:
            writer.writerow(
                (
                    frame.source,
                    frame.stream,
                    frame.index,
                    round(frame.timestamp, 6),
                    label,
                    round(score, 4),
                    *(round(corner, 2) for corner in box),
                    "" if track_id is None else track_id,
                    round(result.delay * 1e3, 3),
                )
            )
        if rows.tell():
            self._file.write(rows.getvalue())

    def close(self) -> None:
        self._file.close()
