"""One JSON object a frame, for other programs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from edgessd.core.errors import SinkError

if TYPE_CHECKING:
    from edgessd.pipeline.result import Result


def json_record(result: Result) -> dict[str, Any]:
    """The documented schema of `run --jsonl`.

    `box` is [x1, y1, x2, y2] in pixels of the original frame. `timestamp` is Unix time in seconds for
    cameras and images, the position in seconds for a video file.
    """
    frame = result.frame
    return {
        "source": frame.source,
        "frame": frame.index,
        "timestamp": round(frame.timestamp, 6),
        "width": frame.width,
        "height": frame.height,
        "detections": [
            {
                "label": label,
                "score": round(score, 4),
                "box": [round(corner, 2) for corner in box],
            }
            for label, score, box in result.detections.named()
        ],
    }


class JsonLinesSink:
    """Writes JSON lines to a file as they come, so that a reader can follow with `tail -f`.

    Args:
        path: A file, replaced if it exists; `-` is stdout.

    Raises:
        SinkError: The file can't be written.
    """

    lossless = True
    own_thread = True

    def __init__(self, path: str) -> None:
        self.name = f"JSON lines to {path}"
        self._path = path
        self._file: TextIO
        if path == "-":
            self._file = sys.stdout
            return
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._file = Path(path).open("w", encoding="utf-8")  # noqa: SIM115 - closed in close()
        except OSError as error:
            raise SinkError(
                f"The JSON lines can't be written to {path}",
                found=error.strerror or str(error),
                fix="Name a file in a folder that you may write to, or - for stdout.",
            ) from error

    def write(self, result: Result) -> None:
        self._file.write(json.dumps(json_record(result)) + "\n")
        self._file.flush()

    def close(self) -> None:
        if self._path != "-":
            self._file.close()
