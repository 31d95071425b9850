"""Sources of `edgessd run`, from its options."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from edgessd.pipeline.sources.source import Source

_PANEL = "Cameras and sources"

Width = Annotated[
    int | None,
    typer.Option(
        help="Wished camera width; the nearest it has is taken.", min=1, rich_help_panel=_PANEL
    ),
]
Height = Annotated[
    int | None, typer.Option(help="Wished camera height.", min=1, rich_help_panel=_PANEL)
]
Fps = Annotated[
    float | None,
    typer.Option(
        help="Wished camera rate; with --pace that of images.",
        min=0.1,
        max=1000,
        rich_help_panel=_PANEL,
    ),
]
PixelFormat = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="Wished camera format, such as MJPG or YUYV.",
        metavar="FOURCC",
        rich_help_panel=_PANEL,
    ),
]
Pace = Annotated[
    bool,
    typer.Option(
        "--pace",
        help="Play files at their own speed, and lose frames as a camera does.",
        rich_help_panel=_PANEL,
    ),
]
Loop = Annotated[
    bool,
    typer.Option("--loop", help="Begin files anew at their end.", rich_help_panel=_PANEL),
]
RtspTransport = Annotated[
    Literal["tcp", "udp"],
    typer.Option(help="How RTSP sends its pictures.", metavar="tcp|udp", rich_help_panel=_PANEL),
]
NoReconnect = Annotated[
    bool,
    typer.Option(
        "--no-reconnect",
        help="End when a camera or stream breaks off.",
        rich_help_panel=_PANEL,
    ),
]
Wait = Annotated[
    bool,
    typer.Option(
        "--wait",
        help="Start without a camera or stream that isn't there yet, and wait for it.",
        rich_help_panel=_PANEL,
    ),
]
StallSeconds = Annotated[
    float,
    typer.Option(
        help="Open a camera or stream anew after so long without a frame.",
        min=0.5,
        rich_help_panel=_PANEL,
    ),
]
FreezeSeconds = Annotated[
    float,
    typer.Option(
        help="And after so long with the very same picture; 0 is never.",
        min=0,
        rich_help_panel=_PANEL,
    ),
]
ListCameras = Annotated[
    bool,
    typer.Option(
        "--list",
        help="List this machine's cameras and what they deliver.",
        rich_help_panel=_PANEL,
    ),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceOptions:
    """What the command line says of sources.

    Attributes:
        cameras: Numbers of Video4Linux cameras.
        sources: As `open_source` takes them.
        width, height, fps, pixel_format: Wished of cameras.
        pace, loop: How files are played.
        rtsp_transport: Of RTSP.
        reconnect, wait: Whether live sources are opened anew, and waited for at the start.
        stall_seconds, freeze_seconds: When a live source is opened anew.
    """

    cameras: tuple[int, ...]
    sources: tuple[str, ...]
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    pixel_format: str | None = None
    pace: bool = False
    loop: bool = False
    rtsp_transport: Literal["tcp", "udp"] = "tcp"
    reconnect: bool = True
    wait: bool = False
    stall_seconds: float = 10.0
    freeze_seconds: float = 60.0


def open_sources(options: SourceOptions) -> list[Source]:
    """Open all of them, cameras first; if one refuses, the others are closed again.

    Raises:
        SourceError: What refuses.
    """
    from edgessd.pipeline.options.source import SourceOptions as OpenOptions
    from edgessd.pipeline.sources.catalog import open_source
    from edgessd.pipeline.sources.native_stderr import quiet_opencv

    wishes: dict[str, Any] = {
        "width": options.width,
        "height": options.height,
        "fps": options.fps,
        "pixel_format": options.pixel_format,
        "pace": options.pace,
        "loop": options.loop,
        "rtsp_transport": options.rtsp_transport,
        "reconnect": options.reconnect,
        "wait": options.wait,
        "stall_seconds": options.stall_seconds,
        "freeze_seconds": options.freeze_seconds,
    }
    opened: list[Source] = []
    with ExitStack() as undo:
        for text in (*(f"camera:{number}" for number in options.cameras), *options.sources):
            opened.append(open_source(OpenOptions(address=text, **wishes)))
            undo.callback(opened[-1].close)
        undo.pop_all()
    # From now on it would only write between the log's lines, which say the same.
    quiet_opencv()
    return opened
