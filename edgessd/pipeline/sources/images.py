"""One image, a folder of images, or a glob pattern."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgessd.core.errors import DataError, SourceError
from edgessd.pipeline.frames import Frame


class ImageSource:
    """Pictures in the order given. A broken one is named in `skipped` and left out.

    Args:
        name: What the user asked for.
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
                expected="at least one .jpg, .jpeg, .png, .bmp, .webp or .tif file",
                fix="Name another folder with --source.",
            )
        self.name = name
        self.length = len(paths)
        self.skipped: list[tuple[str, str]] = []
        self._paths = tuple(paths)

    def __iter__(self) -> Iterator[Frame]:
        from edgessd.core.images import read_image

        for index, path in enumerate(self._paths):
            try:
                image = read_image(path)
            except DataError as error:
                self.skipped.append((str(path), error.problem))
                continue
            yield Frame(
                image=image,
                source=str(path),
                index=index,
                timestamp=time.time(),
                captured_at=time.perf_counter(),
            )

    def close(self) -> None:
        """Nothing is held open between images."""
