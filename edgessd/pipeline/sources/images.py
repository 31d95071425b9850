"""One image, a folder of images, or a glob pattern."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from edgessd.core.errors import DataError, SourceError
from edgessd.core.images import IMAGE_SUFFIXES, read_header, read_image
from edgessd.pipeline.frames import Frame
from edgessd.pipeline.sources.clock import moment

# Memory for the picture itself, and for its decoder or a drawing of it.
_COPIES = 2
_ALWAYS_READ = 64_000_000


class ImageSource:
    """Pictures in the order given. A broken one, or one too large for this machine, is left out and listed
    in `skipped`.

    Args:
        name: Address given by the user.
        paths: Image files, at least one.

    Raises:
        SourceError: There is no image.
    """

    live = False
    fps: float | None = None
    length: int | None

    def __init__(self, name: str, paths: Sequence[Path]) -> None:
        if not paths:
            raise SourceError(
                f"{name} holds no image",
                expected=f"at least one of {', '.join(sorted(IMAGE_SUFFIXES))}",
                fix="Give another folder or pattern with --source; give the path of a video itself.",
            )
        self.name = name
        self.length = len(paths)
        self.skipped: list[tuple[str, str]] = []
        self._paths = tuple(paths)

    def __iter__(self) -> Iterator[Frame]:
        for index, path in enumerate(self._paths):
            try:
                _require_room(path)
                image = read_image(path)
            except DataError as error:
                self.skipped.append((str(path), error.problem))
                continue
            at = moment()
            yield Frame(
                image=image,
                source=str(path),
                index=index,
                timestamp=at.timestamp,
                captured_at=at.captured_at,
            )

    def close(self) -> None:
        """Do nothing, because no file is open between images."""


def _require_room(path: Path) -> None:
    """Refuse a picture whose pixels don't fit into memory.

    A small file may hold a huge picture, and Linux would end the program instead of refusing the memory.

    Raises:
        DataError: The picture is too large, or the file isn't an image.
    """
    header = read_header(path)
    needed = _COPIES * 3 * header.width * header.height
    if needed <= _ALWAYS_READ:
        return
    import psutil

    free = psutil.virtual_memory().available
    if needed > free:
        raise DataError(
            f"{path} has {header.width}x{header.height} pixels, for which {needed / 1e9:.1f} GB of memory "
            f"are needed and {free / 1e9:.1f} GB are free"
        )
