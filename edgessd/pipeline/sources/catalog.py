"""From what the user typed to a source."""

from __future__ import annotations

from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING

from edgessd.core.errors import SourceError
from edgessd.core.images import IMAGE_SUFFIXES
from edgessd.pipeline.sources.source import Source

if TYPE_CHECKING:
    from edgessd.target.spec import CameraWish


def open_source(text: str) -> Source:
    """Open a file, folder, glob pattern, URL or camera.

    Args:
        text: `photo.jpg`, `folder/`, `folder/*.png`, `film.mp4`, `rtsp://…`, `camera:N`, `csi:N`,
            `csi:N?width=1280&height=720&fps=30`, or `gst:… ! appsink`.

    Raises:
        SourceError: Nothing there, or nothing that can be decoded.
    """
    if text.startswith("camera:"):
        from edgessd.pipeline.sources.camera import CameraSource

        return CameraSource(int(text.removeprefix("camera:")))
    if text.startswith("csi:"):
        from edgessd.pipeline.sources.csi import open_csi

        here, camera = _this_machine()
        return open_csi(text, camera, here=here)
    if text.startswith("gst:"):
        from edgessd.pipeline.sources.gstreamer import GStreamerSource

        return GStreamerSource(text.removeprefix("gst:"))

    if "://" not in text and _is_images(text):
        from edgessd.pipeline.sources.images import ImageSource

        return ImageSource(text, _matching_images(text))
    return open_video(text, _this_machine()[1])


def open_video(location: str, camera: CameraWish) -> Source:
    """A video file or URL, decoded by the device's hardware where it has a pipeline for that.

    The hardware doesn't know every codec, and OpenCV may lack GStreamer: FFmpeg takes what is left, and
    the source's `decoder` says which of them it was.
    """
    from edgessd.pipeline.sources.gstreamer import GStreamerSource, gstreamer_usable, quoted
    from edgessd.pipeline.sources.video import VideoSource

    live = "://" in location
    pipeline = camera.stream if live else camera.file
    if pipeline and (live or Path(location).is_file()) and gstreamer_usable():
        try:
            return GStreamerSource(
                pipeline.format(uri=quoted(location), path=quoted(location)),
                name=location,
                live=live,
            )
        except SourceError as error:
            source = VideoSource(location)
            source.decoder = f"FFmpeg; GStreamer refused: {error.found or error.problem}"
            return source
    return VideoSource(location)


def _is_images(text: str) -> bool:
    path = Path(text)
    return path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES or any(c in text for c in "*?[")


def _this_machine() -> tuple[str, CameraWish]:
    """Name and camera pipelines of this machine's target."""
    from edgessd.target.detect import detect_machine
    from edgessd.target.load import load_target

    target = detect_machine().target
    return target, load_target(target).camera


def _matching_images(text: str) -> list[Path]:
    path = Path(text)
    if path.is_dir():
        found = list(path.iterdir())
    elif path.exists():
        found = [path]
    else:
        found = [Path(name) for name in glob(text, recursive=True)]
    return sorted(p for p in found if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
