"""From what the user typed to a source."""

from __future__ import annotations

from glob import glob
from pathlib import Path

from edgessd.pipeline.sources.source import Source

_IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})


def open_source(text: str) -> Source:
    """Open a file, folder, glob pattern or URL.

    Args:
        text: `photo.jpg`, `folder/`, `folder/*.png`, `film.mp4`, `rtsp://…`, or `camera:N`.

    Raises:
        SourceError: Nothing there, or nothing that can be decoded.
    """
    if text.startswith("camera:"):
        from edgessd.pipeline.sources.camera import CameraSource

        return CameraSource(int(text.removeprefix("camera:")))

    path = Path(text)
    if path.is_dir() or path.suffix.lower() in _IMAGE_SUFFIXES or any(c in text for c in "*?["):
        from edgessd.pipeline.sources.images import ImageSource

        return ImageSource(text, _matching_images(text))

    from edgessd.pipeline.sources.video import VideoSource

    return VideoSource(text)


def _matching_images(text: str) -> list[Path]:
    path = Path(text)
    if path.is_dir():
        found = list(path.iterdir())
    elif path.exists():
        found = [path]
    else:
        found = [Path(name) for name in glob(text, recursive=True)]
    return sorted(p for p in found if p.suffix.lower() in _IMAGE_SUFFIXES and p.is_file())
