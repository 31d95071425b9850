"""Recording: a video file with the detections drawn into it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgessd.core.arrays import ImageArray
from edgessd.core.errors import SinkError
from edgessd.pipeline.annotate import annotate, draw_status
from edgessd.pipeline.frames import Frame
from edgessd.pipeline.sinks.video_writers import CODECS, VideoWriter, open_video_writer

if TYPE_CHECKING:
    from edgessd.pipeline.result import Result
    from edgessd.pipeline.sources.source import Source

_log = logging.getLogger(__name__)

# Rate of a recording of photos: slow enough to look at each.
_IMAGES_PER_SECOND = 2.0
# Rate assumed for a camera that states none.
_USUAL_FPS = 30.0
# An outage of an hour becomes a still picture of one second.
_LONGEST_PAUSE, _SHORTENED_PAUSE = 10.0, 1.0
# Space left free on the disk, so that the system can still write its logs.
_RESERVED_BYTES = 16 << 20
_LOOK_AT_DISK_EVERY = 1.0


class Recorder:
    """Writes annotated videos, one per source.

    The name of an unfinished video has `.part` before the suffix. It gets its final name when it is complete.
    The video of a camera plays in real time, even if frames were dropped.

    Args:
        path: Path with the suffix `.mp4`, `.mkv` or `.avi`. The files of several sources are numbered:
            `out-1.mp4`.
        sources: Sources in the pipeline's order.
        minutes: Duration of a file, after which a new one begins; each has its time in the name. None for a
            single file.

    Attributes:
        files: Paths of the complete files.

    Raises:
        SinkError: The suffix isn't known, or the folder can't be written. From `write`: no codec can be
            opened, or the disk is full; the recording up to then is complete and can be played.
    """

    lossless = True
    own_thread = True

    def __init__(
        self, path: Path, *, sources: Sequence[Source], minutes: float | None = None
    ) -> None:
        if path.suffix.lower() not in CODECS:
            raise SinkError(
                f"{path.name} can't be the name of a recording",
                expected="a name that ends in " + ", ".join(CODECS),
                found=path.suffix or "no suffix",
                fix="For example --record out.mp4.",
            )
        self.name = f"recording {path}"
        self.files: list[Path] = []
        _require_writable(path)
        self._recordings = [
            _Recording(
                path if len(sources) == 1 else path.with_stem(f"{path.stem}-{number}"),
                source,
                None if minutes is None else minutes * 60,
                self.files,
            )
            for number, source in enumerate(sources, 1)
        ]

    def write(self, result: Result) -> None:
        canvas = annotate(result.frame.image, result.detections, result.regions)
        seconds = result.seconds.total
        draw_status(canvas, f"{seconds * 1e3:.1f} ms  {1 / max(seconds, 1e-9):.0f} FPS")
        self._recordings[result.frame.stream].write(result.frame, canvas)

    def close(self) -> None:
        errors = [
            error for recording in self._recordings if (error := recording.finish()) is not None
        ]
        if errors:
            raise errors[0]


class _Recording:
    """Recording of one source, in one file or several."""

    def __init__(
        self, path: Path, source: Source, segment_seconds: float | None, files: list[Path]
    ) -> None:
        self._path, self._live, self._fps = path, source.live, source.fps
        self._segment_seconds, self._files = segment_seconds, files
        self._writer: VideoWriter | None = None
        self._target = self._part = path
        self._size = (0, 0)
        self._frames = 0
        self._time = 0.0  # of the present frame in the whole recording, in seconds
        self._begin = 0.0  # of the present file in the whole recording, in seconds
        self._clock: float | None = None
        self._looked_at_disk = -_LOOK_AT_DISK_EVERY

    def write(self, frame: Frame, canvas: ImageArray) -> None:
        self._advance(frame)
        if self._segment_seconds is not None and self._time - self._begin >= self._segment_seconds:
            error = self.finish()
            if error is not None:
                raise error
        try:
            self._require_room()
            if self._writer is None:
                self._writer = self._open((canvas.shape[1], canvas.shape[0]))
            self._writer.write(_fitted(canvas, self._size), self._time - self._begin)
        except OSError as error:
            self.finish()  # an error of finishing is a consequence of this one
            raise SinkError(
                f"The recording stopped: {self._part.parent} takes no more",
                found=error.strerror or str(error),
                fix=f"Make room. {self._target} holds the recording up to now.",
            ) from error

    def finish(self) -> SinkError | None:
        """Complete the file; return the error, or None."""
        writer, self._writer = self._writer, None
        if writer is None:
            return None
        failed: SinkError | None = None
        try:
            writer.close()
        except OSError as error:
            failed = SinkError(
                f"The end of the recording {self._target} could not be written",
                found=error.strerror or str(error),
                fix="Make room. The rest of the recording can be played.",
            )
        self._part.replace(self._target)
        self._files.append(self._target)
        return failed

    def _advance(self, frame: Frame) -> None:
        """Advance the time: real time of a camera, positions of a video, or half a second per photo."""
        if self._live:
            clock, usual = frame.captured_at, 1 / _USUAL_FPS
        elif self._fps:
            clock, usual = frame.timestamp, 1 / self._fps
        else:
            clock, usual = self._frames / _IMAGES_PER_SECOND, 1 / _IMAGES_PER_SECOND
        if self._clock is not None:
            step = clock - self._clock
            if step <= 0:  # a video that restarts
                step = usual
            self._time += step if step <= _LONGEST_PAUSE else _SHORTENED_PAUSE
        self._clock = clock
        self._frames += 1

    def _require_room(self) -> None:
        if time.monotonic() - self._looked_at_disk < _LOOK_AT_DISK_EVERY:
            return
        self._looked_at_disk = time.monotonic()
        disk = os.statvfs(self._path.parent)
        if disk.f_bavail * disk.f_frsize < _RESERVED_BYTES:
            raise OSError(
                f"less than {_RESERVED_BYTES >> 20} MiB of the disk are free, which the system needs"
            )

    def _open(self, size: tuple[int, int]) -> VideoWriter:
        stamp = time.strftime("-%Y%m%d-%H%M%S") if self._segment_seconds is not None else ""
        self._target = _unused(self._path.with_stem(self._path.stem + stamp), self._files)
        self._part = self._target.with_stem(self._target.stem + ".part")
        self._size = max(2, size[0] & ~1), max(2, size[1] & ~1)
        self._begin = self._time
        usual = _USUAL_FPS if self._live else _IMAGES_PER_SECOND
        writer = open_video_writer(self._part, self._size, self._fps or usual)
        if writer is None:
            self._part.unlink(missing_ok=True)
            raise SinkError(
                f"This machine has no codec for {self._path.name}",
                expected="H.264 or MPEG-4",
                fix="`pip install 'edgessd[video]'`, or record to a .avi file, which needs only MJPEG.",
            )
        if not self._files and writer.codec == "MPEG-4 part 2":
            _log.warning(
                "%s is MPEG-4 part 2, which browsers and phones can't play; for H.264: "
                "pip install 'edgessd[video]'.",
                self._target,
                extra={"edgessd": {"event": "recording_codec", "codec": writer.codec}},
            )
        return writer


def _require_writable(path: Path) -> None:
    """Refuse a folder that can't be written, before the detector and the camera are opened."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        probe = path.with_stem(path.stem + ".part")
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise SinkError(
            f"The recording can't be written to {path}",
            found=error.strerror or str(error),
            fix="Give a file in a folder that you may write to.",
        ) from error


def _unused(path: Path, files: Sequence[Path]) -> Path:
    """Number the path if this run has written it already, because a clock was set back or a file is short."""
    number, unused = 2, path
    while unused in files:
        unused = path.with_stem(f"{path.stem}-{number}")
        number += 1
    return unused


def _fitted(canvas: ImageArray, size: tuple[int, int]) -> ImageArray:
    """Fit a picture into the size of the video, on black. An odd picture loses its last row or column."""
    import cv2

    height, width = canvas.shape[:2]
    if (width, height) == size:
        return canvas
    if 0 <= width - size[0] <= 1 and 0 <= height - size[1] <= 1:
        return np.ascontiguousarray(canvas[: size[1], : size[0]])
    ratio = min(size[0] / width, size[1] / height)
    inner = max(1, round(width * ratio)), max(1, round(height * ratio))
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    fitted = np.zeros((size[1], size[0], 3), np.uint8)
    fitted[top : top + inner[1], left : left + inner[0]] = cv2.resize(
        canvas, inner, interpolation=cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR
    )
    return fitted
