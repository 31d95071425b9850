"""Sources of `edgessd run`, from its options."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgessd.pipeline.sources.source import Source


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceOptions:
    """What the command line says of sources.

    Attributes:
        cameras: Numbers of Video4Linux cameras.
        sources: As `open_source` takes them.
        width, height: Wished picture size of cameras, in pixels.
    """

    cameras: tuple[int, ...]
    sources: tuple[str, ...]
    width: int | None
    height: int | None


def open_sources(options: SourceOptions) -> list[Source]:
    """Open all of them, cameras first; if one refuses, the others are closed again.

    Raises:
        SourceError: What refuses.
    """
    from edgessd.pipeline.sources.camera import CameraSource
    from edgessd.pipeline.sources.catalog import open_source

    opened: list[Source] = []
    with ExitStack() as undo:
        for number in options.cameras:
            opened.append(CameraSource(number, width=options.width, height=options.height))
            undo.callback(opened[-1].close)
        for text in options.sources:
            opened.append(open_source(text))
            undo.callback(opened[-1].close)
        undo.pop_all()
    return opened
