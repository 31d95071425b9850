"""Writers of video files: H.264 through PyAV at the frames' own times, or OpenCV at a constant rate."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

from edgessd.pipeline.frames import Image

# H.264 plays everywhere, but the OpenCV of many systems can't write it; MPEG-4 part 2 always can.
CODECS = {".mp4": ("avc1", "mp4v"), ".mkv": ("avc1", "mp4v"), ".avi": ("MJPG",)}
CODEC_NAMES = {"avc1": "H.264", "mp4v": "MPEG-4 part 2", "MJPG": "Motion JPEG"}

# Ticks of MPEG's clock.
_TICKS = 90_000
_KEYFRAME_SECONDS = 2


class VideoWriter(Protocol):
    """An open video file.

    Attributes:
        codec: For people.
    """

    codec: str

    def write(self, image: Image, seconds: float) -> None:
        """Add a picture of the file's size, `seconds` after the first.

        Raises:
            OSError: The file can't be written any more.
        """
        ...

    def close(self) -> None:
        """Finish the file.

        Raises:
            OSError: Its end could not be written; what is there plays nonetheless.
        """
        ...


class PyAvWriter:
    """H.264 with each frame at its own time.

    An MP4 is written in fragments of two seconds and made a plain one at the end (FFmpeg's
    `hybrid_fragmented`), so that it plays even if the power fails or the disk is full.

    Args:
        path: `.mp4` or `.mkv`.
        size: Width and height, even.
        fps: About how many frames there will be a second.
    """

    codec = "H.264"

    def __init__(self, path: Path, size: tuple[int, int], fps: float) -> None:
        import av

        options = {"movflags": "hybrid_fragmented"} if path.suffix.lower() == ".mp4" else {}
        self._container = av.open(str(path), "w", options=options)
        rate = Fraction(fps).limit_denominator(1000)
        self._stream: Any = self._container.add_stream(
            "libx264",
            rate=rate,
            # No frame is held back: memory stays small, and an interrupt loses nothing.
            options={"preset": "veryfast", "crf": "23", "tune": "zerolatency"},
        )
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = "yuv420p"
        self._stream.thread_count = 2
        context = self._stream.codec_context
        context.time_base = Fraction(1, _TICKS)
        context.gop_size = max(1, round(_KEYFRAME_SECONDS * fps))
        self._last = -1

    def write(self, image: Image, seconds: float) -> None:
        import av

        frame = av.VideoFrame.from_ndarray(image, format="bgr24")
        self._last = max(self._last + 1, round(seconds * _TICKS))
        frame.pts = self._last
        frame.time_base = Fraction(1, _TICKS)
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        try:
            self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()


class OpenCvWriter:
    """A constant frame rate: a picture is repeated until the next one's time, or left out.

    Args:
        path: Any suffix of `CODECS`.
        size: Width and height.
        fps: Frames a second of the file.
        writer: An open `cv2.VideoWriter`.
        codec: Its four letters.
    """

    def __init__(self, writer: Any, codec: str, fps: float) -> None:
        self.codec = CODEC_NAMES[codec]
        self._writer, self._fps = writer, fps
        self._written = 0
        self._waiting: Image | None = None

    def write(self, image: Image, seconds: float) -> None:
        due = round(seconds * self._fps)
        # Of several pictures for one place in the film the newest is shown.
        while self._waiting is not None and self._written < due:
            self._writer.write(self._waiting)
            self._written += 1
        self._waiting = image

    def close(self) -> None:
        if self._waiting is not None:
            self._writer.write(self._waiting)
            self._waiting = None
        self._writer.release()


def open_video_writer(path: Path, size: tuple[int, int], fps: float) -> VideoWriter | None:
    """The first way to write that file which works here, None if there is none.

    Args:
        path: Its suffix is one of `CODECS`.
        size: Width and height, even.
        fps: Frames a second.

    Raises:
        OSError: The file can't be made.
    """
    codecs = CODECS[path.suffix.lower()]
    ways: list[Callable[[], VideoWriter | None]] = [
        lambda codec=codec: _opencv(path, codec, size, fps)  # type: ignore[misc]
        for codec in codecs
    ]
    if "avc1" in codecs:
        ways.insert(0, lambda: _pyav(path, size, fps))
    for way in ways:
        writer = way()
        if writer is not None:
            return writer
    return None


def _pyav(path: Path, size: tuple[int, int], fps: float) -> VideoWriter | None:
    """None where PyAV isn't installed, or was built without x264."""
    try:
        import av
    except ImportError:
        return None
    if "libx264" not in av.codecs_available:
        return None
    return PyAvWriter(path, size, fps)


def _opencv(path: Path, codec: str, size: tuple[int, int], fps: float) -> VideoWriter | None:
    """An open writer, or None: a codec that isn't there is no news, so nothing is said of it."""
    import cv2

    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, size)
    finally:
        cv2.utils.logging.setLogLevel(level)
    return OpenCvWriter(writer, codec, fps) if writer.isOpened() else None
