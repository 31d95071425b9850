"""Writers of video files: PyAV with H.264 and a time per frame, or OpenCV with a constant rate."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

from edgessd.core.arrays import ImageArray

# H.264 plays everywhere, but many builds of OpenCV can't write it. All can write MPEG-4 part 2.
CODECS = {".mp4": ("avc1", "mp4v"), ".mkv": ("avc1", "mp4v"), ".avi": ("MJPG",)}
CODEC_NAMES = {"avc1": "H.264", "mp4v": "MPEG-4 part 2", "MJPG": "Motion JPEG"}

# Ticks of MPEG's clock.
_TICKS = 90_000
_KEYFRAME_SECONDS = 2


class VideoWriter(Protocol):
    """An open video file.

    Attributes:
        codec: Name of the codec for messages.
    """

    codec: str

    def write(self, image: ImageArray, seconds: float) -> None:
        """Add a picture of the file's size, `seconds` after the beginning.

        Raises:
            OSError: The file can't be written any more.
        """
        ...

    def close(self) -> None:
        """Complete the file.

        Raises:
            OSError: The end of the file could not be written; the rest can still be played.
        """
        ...


class PyAvWriter:
    """Writes H.264 with the time of each frame.

    An MP4 is written in fragments of two seconds and becomes a plain one at the end (FFmpeg's
    `hybrid_fragmented`). So it can be played even if the power fails or the disk is full.

    Args:
        path: Path with the suffix `.mp4` or `.mkv`.
        size: Width and height in pixels, both even.
        fps: Approximate number of frames per second.
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

    def write(self, image: ImageArray, seconds: float) -> None:
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
    """Writes a constant frame rate: a picture is repeated until the time of the next one, or left out.

    Args:
        writer: An open `cv2.VideoWriter`.
        codec: Code of its codec: four characters.
        fps: Frames per second of the file.
    """

    def __init__(self, writer: Any, codec: str, fps: float) -> None:
        self.codec = CODEC_NAMES[codec]
        self._writer, self._fps = writer, fps
        self._written = 0
        self._waiting: ImageArray | None = None

    def write(self, image: ImageArray, seconds: float) -> None:
        due = round(seconds * self._fps)
        # Of several pictures for the same frame of the video, the newest is written.
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
    """Open the first writer that works on this machine; None if there is none.

    Args:
        path: Path with a suffix of `CODECS`.
        size: Width and height in pixels, both even.
        fps: Frames per second.

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
    """Open a writer of PyAV; None if PyAV isn't installed or has no x264."""
    try:
        import av
    except ImportError:
        return None
    if "libx264" not in av.codecs_available:
        return None
    return PyAvWriter(path, size, fps)


def _opencv(path: Path, codec: str, size: tuple[int, int], fps: float) -> VideoWriter | None:
    """Open a writer of OpenCV; None if it lacks the codec, without OpenCV's messages about that."""
    import cv2

    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, size)
    finally:
        cv2.utils.logging.setLogLevel(level)
    return OpenCvWriter(writer, codec, fps) if writer.isOpened() else None
