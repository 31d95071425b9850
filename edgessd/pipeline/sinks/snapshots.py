"""Snapshots: pictures of the moments when a class appears or an event happens at a region."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgessd.core.errors import SinkError
from edgessd.core.files import write_atomically
from edgessd.pipeline.annotate import annotate
from edgessd.pipeline.jpeg import encode_jpeg
from edgessd.pipeline.options.outputs import SnapshotsOn
from edgessd.pipeline.records import json_record

if TYPE_CHECKING:
    from edgessd.pipeline.result import Result

# Seconds without a detection after which a class appears again.
_ABSENT_SECONDS = 3.0
_JPEG_QUALITY = 92


class SnapshotSink:
    """Writes an annotated picture, a clean one, and a JSON file with the reason and the record.

    The files of a snapshot share a name: `20261121-143000-250-0-person.jpg`, `….clean.jpg`, `….json`. It has
    the local time in milliseconds, the number of the source and the first reason. Each file appears whole.
    The JSON file comes last: once it exists, the pictures do too.

    Args:
        directory: Folder, which is made if it is missing.
        on: `appearance`: a class is detected for the first time in three seconds; with tracking, an object
            gets its number. `events`: a line is crossed, a zone entered or left.
        every: Minimum seconds between two snapshots of a source for the same reason.

    Attributes:
        taken: Number of snapshots.
        held_back: Number of reasons that came again sooner than `every` allows.

    Raises:
        SinkError: The folder can't be written, or the disk is full.
    """

    lossless = True
    own_thread = True

    def __init__(
        self, directory: Path, *, on: SnapshotsOn = "appearance", every: float = 1.0
    ) -> None:
        self.name = f"snapshots in {directory}"
        self.files = (directory,)
        self.taken = self.held_back = 0
        self._directory, self._on, self._every = directory, on, every
        self._last_taken: dict[tuple[int, str], float] = {}
        self._last_seen: dict[tuple[int, str], float] = {}
        try:
            directory.mkdir(parents=True, exist_ok=True)
            write_atomically(directory / ".writable", b"")
            (directory / ".writable").unlink()
        except OSError as error:
            raise SinkError(
                f"Snapshots can't be written to {directory}",
                found=error.strerror or str(error),
                fix="Give a folder that you may write to.",
            ) from error

    def write(self, result: Result) -> None:
        candidates = self._events(result) if self._on == "events" else self._appearances(result)
        reasons = [reason for reason in dict.fromkeys(candidates) if self._due(result, reason)]
        if reasons:
            self._take(result, reasons)
            self.taken += 1

    def close(self) -> None:
        """Do nothing, because no file is open between snapshots."""

    def _due(self, result: Result, reason: str) -> bool:
        """Check that the last snapshot for a reason is long enough ago, by the timestamps of the frames.

        So a video that is read faster than it plays gives the same snapshots.
        """
        key, now = (result.frame.stream, reason), result.frame.timestamp
        last = self._last_taken.get(key)
        if last is not None and 0 <= now - last < self._every:
            self.held_back += 1
            return False
        self._last_taken[key] = now
        return True

    def _appearances(self, result: Result) -> list[str]:
        if result.detections.track_ids is not None:
            return [event.label for event in result.events if event.kind == "appeared"]
        now, stream = result.frame.timestamp, result.frame.stream
        appeared = []
        for label in dict.fromkeys(label for label, _, _ in result.detections.named()):
            seen = self._last_seen.get((stream, label))
            if seen is None or not 0 <= now - seen <= _ABSENT_SECONDS:
                appeared.append(label)
            self._last_seen[stream, label] = now
        return appeared

    def _events(self, result: Result) -> list[str]:
        return [
            f"{event.label}-{event.region}{f'-{event.direction}' if event.direction else ''}"
            for event in result.events
            if event.region is not None
        ]

    def _take(self, result: Result, reasons: list[str]) -> None:
        now = time.time()
        stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(now)) + f"-{int(now % 1 * 1000):03}"
        what = re.sub(r"[^\w.-]+", "_", reasons[0])[:60]
        base = f"{stamp}-{result.frame.stream}-{what}"
        image = result.frame.image
        record: dict[str, Any] = {
            "reasons": reasons,
            "taken": round(now, 3),
            "annotated": f"{base}.jpg",
            "clean": f"{base}.clean.jpg",
            **json_record(result),
        }
        try:
            drawn = annotate(image, result.detections, result.regions)
            write_atomically(self._directory / f"{base}.jpg", encode_jpeg(drawn, _JPEG_QUALITY))
            write_atomically(
                self._directory / f"{base}.clean.jpg", encode_jpeg(image, _JPEG_QUALITY)
            )
            text = json.dumps(record, indent=2) + "\n"
            write_atomically(self._directory / f"{base}.json", text)
        except OSError as error:
            raise SinkError(
                f"No further snapshot can be written to {self._directory}",
                found=error.strerror or str(error),
                fix="Make room. Earlier snapshots are complete.",
            ) from error
