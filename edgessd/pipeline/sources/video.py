"""A video file, or any URL that OpenCV's FFmpeg reads."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edgessd.core.errors import SourceError
from edgessd.pipeline.frames import Frame


class VideoSource:
    """Every frame of a video, as fast as it is asked for.

    Args:
        location: A path, or a URL such as rtsp://… or http://….

    Raises:
        SourceError: The file isn't there or no decoder takes it.
    """

    def __init__(self, location: str) -> None:
        import cv2

        self.live = "://" in location
        self.name = location
        self.decoder = "FFmpeg"
        self.skipped: list[tuple[str, str]] = []
        if not self.live and not Path(location).is_file():
            raise SourceError(
                "The video isn't there",
                expected="a video file, an image, a folder of images or a URL",
                found=f"nothing at {location}",
                fix="Check the path; `--camera N` reads a camera.",
            )
        self._capture = cv2.VideoCapture(location, cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise SourceError(
                f"{location} can't be decoded",
                expected="a container and codec that OpenCV's FFmpeg knows (MP4, MKV, AVI; H.264, MJPEG …)",
                found="a file that it refuses" if not self.live else "no answer, or no video in it",
                fix=f"Convert it with `ffmpeg -i {location} out.mp4` and try that.",
            )
        self.fps = self._capture.get(cv2.CAP_PROP_FPS) or None
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.length = count if count > 0 and not self.live else None

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while True:
            found, image = self._capture.read()
            if not found:
                break
            position = index / self.fps if self.fps else 0.0
            yield Frame(
                image=np.asarray(image, np.uint8),
                source=self.name,
                index=index,
                timestamp=time.time() if self.live else position,
                captured_at=time.perf_counter(),
            )
            index += 1
        if index == 0:
            raise SourceError(
                f"{self.name} has no frame that can be decoded",
                fix=f"Look at it with `ffprobe {self.name}`.",
            )

    def close(self) -> None:
        self._capture.release()
