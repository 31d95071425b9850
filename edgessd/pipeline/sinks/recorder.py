"""A video file with the detections drawn into it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgessd.core.errors import SinkError
from edgessd.pipeline.annotate import annotate, draw_status

if TYPE_CHECKING:
    from edgessd.pipeline.result import Result

# H.264 plays everywhere, but the OpenCV of many systems can't write it; MPEG-4 part 2 always can.
_CODECS = {".mp4": ("avc1", "mp4v"), ".avi": ("MJPG",), ".mkv": ("avc1", "mp4v")}


class Recorder:
    """Writes an annotated video under a temporary name and gives it its name on `close`.

    Args:
        path: `.mp4`, `.mkv` or `.avi`.
        fps: Playback rate.

    Raises:
        SinkError: The suffix isn't known, the folder can't be written, or no codec opens.
    """

    lossless = True
    own_thread = True

    def __init__(self, path: Path, *, fps: float) -> None:
        self.name = f"recording {path}"
        if path.suffix.lower() not in _CODECS:
            raise SinkError(
                f"A recording can't be named {path.name}",
                expected="a name that ends in " + ", ".join(_CODECS),
                found=path.suffix or "no suffix",
                fix="For example --record out.mp4.",
            )
        self.codec: str | None = None
        self._path = path
        self._part = path.with_name(f".{path.stem}.part{path.suffix}")
        self._fps = fps
        self._writer: Any = None
        self._size = (0, 0)

    def write(self, result: Result) -> None:
        import cv2

        canvas = annotate(result.frame.image, result.detections)
        seconds = result.seconds.total
        draw_status(canvas, f"{seconds * 1e3:.1f} ms  {1 / max(seconds, 1e-9):.0f} FPS")
        if self._writer is None:
            self._open((canvas.shape[1], canvas.shape[0]))
        if (canvas.shape[1], canvas.shape[0]) != self._size:
            # A folder of photos has many sizes, a video has one: the first picture's.
            self._writer.write(cv2.resize(canvas, self._size, interpolation=cv2.INTER_AREA))
        else:
            self._writer.write(canvas)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.release()
            self._writer = None
            self._part.replace(self._path)

    def _open(self, size: tuple[int, int]) -> None:

        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._part.touch()
        except OSError as error:
            raise SinkError(
                f"The recording can't be written to {self._path}",
                found=error.strerror or str(error),
                fix="Name a file in a folder that you may write to.",
            ) from error
        for codec in _CODECS[self._path.suffix.lower()]:
            writer = _try_codec(str(self._part), codec, self._fps, size)
            if writer is not None:
                self._writer, self._size, self.codec = writer, size, codec
                return
        self._part.unlink(missing_ok=True)
        raise SinkError(
            f"No codec of this OpenCV can write {self._path.name}",
            expected="one of " + ", ".join(_CODECS[self._path.suffix.lower()]),
            fix="Record to a .avi file, which needs only MJPEG.",
        )


def _try_codec(path: str, codec: str, fps: float, size: tuple[int, int]) -> Any:
    """An open writer, or None: a codec that isn't there is no news, so nothing is said of it."""
    import cv2

    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*codec), fps, size)
    finally:
        cv2.utils.logging.setLogLevel(level)
    return writer if writer.isOpened() else None
