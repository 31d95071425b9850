"""A video file, decoded by OpenCV's FFmpeg."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edgessd.core.errors import SourceError
from edgessd.pipeline.frames import Frame

# A file that holds less than this fraction of the stated frames was cut off.
_WHOLE = 0.95


class VideoSource:
    """Every frame of a video file, as fast as the caller reads.

    Args:
        location: Path of the file.

    Raises:
        SourceError: The file is missing or can't be decoded.
    """

    live = False
    fps: float | None
    length: int | None

    def __init__(self, location: str) -> None:
        import cv2

        self.name = location
        self.decoder = "FFmpeg"
        self.skipped: list[tuple[str, str]] = []
        path = Path(location)
        if not path.is_file():
            raise SourceError(
                "The video is missing",
                expected="a video file, an image, a folder of images or a URL",
                found=f"{'a folder' if path.is_dir() else 'nothing'} at {location}",
                fix="Check the path; `--camera N` reads a camera.",
            )
        self._capture = cv2.VideoCapture(location, cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise _undecodable(path)
        self.fps = plausible_rate(self._capture.get(cv2.CAP_PROP_FPS))
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.length = count if count > 0 else None

    def __iter__(self) -> Iterator[Frame]:
        import cv2

        index = 0
        position = -1.0
        while self._capture.grab():
            stated = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3
            # Some containers state no times; then the positions follow from the rate.
            position = (
                stated if stated > position else max(position, 0.0) + self._period * (index > 0)
            )
            found, image = self._capture.retrieve()
            if not found:
                self.skipped.append((f"{self.name}, frame {index}", "a damaged picture"))
            else:
                yield Frame(
                    image=np.asarray(image, np.uint8),
                    source=self.name,
                    index=index,
                    timestamp=position,
                    captured_at=time.perf_counter(),
                )
            index += 1
        if index == 0:
            raise SourceError(
                f"{self.name} has no frame that can be decoded",
                found=codec_of(Path(self.name)) or "no frame",
                fix=f"Look at it with `ffprobe {self.name}`.",
            )
        if self.length is not None and index < _WHOLE * self.length:
            self.skipped.append(
                (self.name, f"ends after {index} of the {self.length} frames it states")
            )

    def close(self) -> None:
        self._capture.release()

    @property
    def _period(self) -> float:
        return 1 / self.fps if self.fps else 0.0


def plausible_rate(fps: float) -> float | None:
    """Return a container's frame rate, or None for an impossible one, such as 0 or a clock's 90,000."""
    return fps if 0 < fps <= 1000 else None


def codec_of(path: Path) -> str | None:
    """Return the name of the codec of an MP4 or Matroska file; None if it isn't found."""
    with path.open("rb") as file:
        head = file.read(1 << 20)
        file.seek(max(0, path.stat().st_size - (1 << 20)))
        tail = file.read()
    for part in (head, tail):
        # MP4: the sample description box, its version, a count and a size, then the codec's four letters.
        named = re.search(rb"stsd.{4}\0\0\0.{5}([A-Za-z0-9. ]{4})", part, re.DOTALL)
        if named:
            return f"a video of the codec {named[1].decode()}"
        # Matroska: the codec's id is text.
        named = re.search(rb"V_[A-Z0-9]{2,}(?:/[A-Z0-9/]+)?", part)
        if named:
            return f"a video of the codec {named[0].decode()}"
    return None


def _undecodable(path: Path) -> SourceError:
    return SourceError(
        f"{path} can't be decoded",
        expected="a container and codec of OpenCV's FFmpeg, such as MP4, MKV or AVI with H.264 or MJPEG",
        found=codec_of(path) or "a file of another kind",
        fix=f"Convert it with `ffmpeg -i {path} -c:v libx264 out.mp4` and try that.",
    )
