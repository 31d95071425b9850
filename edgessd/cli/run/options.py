"""Command-line options of `edgessd run` for sources, model and tracking.

None stands for an option that wasn't given, so that a file's value stays. The options are merged in
`edgessd.cli.run.merge`.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from edgessd.cli.logs import LogForm

_SOURCES, _CONFIG, _TRACKING = "Cameras and sources", "Options file", "Tracking"


class Transport(str, Enum):
    """Transport protocol of RTSP."""

    tcp = "tcp"
    udp = "udp"


# --- sources --------------------------------------------------------------------------------------------

Cameras = Annotated[
    list[int] | None,
    typer.Option(
        "--camera",
        help="Number of a Video4Linux camera. Repeatable.",
        metavar="N",
        rich_help_panel=_SOURCES,
    ),
]
Sources = Annotated[
    list[str] | None,
    typer.Option(
        "--source",
        help="Video, image, folder, glob pattern or URL. csi:0 is the board's own camera, "
        "gst:PIPELINE a GStreamer pipeline, pattern:640x480@30 a generated picture. Repeatable.",
        metavar="ADDRESS",
        rich_help_panel=_SOURCES,
    ),
]
Width = Annotated[
    int | None,
    typer.Option(
        help="Requested width of the camera's picture; its nearest mode is used.",
        metavar="PIXELS",
        min=1,
        max=65535,
        rich_help_panel=_SOURCES,
    ),
]
Height = Annotated[
    int | None,
    typer.Option(
        help="Requested height of the camera's picture.",
        metavar="PIXELS",
        min=1,
        max=65535,
        rich_help_panel=_SOURCES,
    ),
]
Fps = Annotated[
    float | None,
    typer.Option(
        help="Requested frame rate of the camera; with --pace the rate of images.",
        metavar="FPS",
        min=0.1,
        max=1000,
        rich_help_panel=_SOURCES,
    ),
]
PixelFormat = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="Requested pixel format of the camera, such as MJPG or YUYV.",
        metavar="FOURCC",
        rich_help_panel=_SOURCES,
    ),
]
Pace = Annotated[
    bool | None,
    typer.Option(
        "--pace",
        help="Play files at their own speed, and drop frames as a camera does.",
        rich_help_panel=_SOURCES,
    ),
]
Loop = Annotated[
    bool | None,
    typer.Option("--loop", help="Start files again at the end.", rich_help_panel=_SOURCES),
]
RtspTransport = Annotated[
    Transport | None,
    typer.Option(
        help="Transport protocol of RTSP. Default: tcp.",
        metavar="tcp|udp",
        rich_help_panel=_SOURCES,
    ),
]
NoReconnect = Annotated[
    bool | None,
    typer.Option(
        "--no-reconnect",
        help="End when a camera or stream fails, instead of reopening it.",
        rich_help_panel=_SOURCES,
    ),
]
Wait = Annotated[
    bool | None,
    typer.Option(
        "--wait",
        help="Wait for a camera or stream that is missing at the start.",
        rich_help_panel=_SOURCES,
    ),
]
StallSeconds = Annotated[
    float | None,
    typer.Option(
        help="Time without a frame after which a camera or stream is reopened. Default: 10.",
        metavar="SECONDS",
        min=0.5,
        max=86_400,
        rich_help_panel=_SOURCES,
    ),
]
FreezeSeconds = Annotated[
    float | None,
    typer.Option(
        help="Time with an identical picture after which it is reopened; 0 disables this. Default: 60.",
        metavar="SECONDS",
        min=0,
        max=86_400,
        rich_help_panel=_SOURCES,
    ),
]
ListCameras = Annotated[
    bool,
    typer.Option(
        "--list",
        help="List the cameras of this machine with their formats, and stop.",
        rich_help_panel=_SOURCES,
    ),
]

# --- the model and the run --------------------------------------------------------------------------------

Model = Annotated[
    Path | None,
    typer.Option(
        help="Bundle, .tflite or .onnx. Default: the newest in dist/, else the starter.",
        metavar="PATH",
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        help="Lowest score, from 0 to 1. Default: the model's.", metavar="SCORE", min=0, max=1
    ),
]
Classes = Annotated[
    str | None,
    typer.Option(help="Look for these classes only, separated by commas.", metavar="LABELS"),
]
Latency = Annotated[
    bool | None,
    typer.Option("--latency", help="Print the time of each stage and the delay of results."),
]
MaxFrames = Annotated[
    int | None, typer.Option(help="Stop after this many frames.", metavar="N", min=1)
]
Threads = Annotated[
    int | None, typer.Option(help="CPU threads of all engines.", metavar="N", min=1, max=1024)
]
Engines = Annotated[
    int | None,
    typer.Option(
        help="Engines that share the frames. Default: one for a camera, one a thread for a file.",
        metavar="N",
        min=1,
        max=1024,
    ),
]
BackendName = Annotated[
    str | None, typer.Option("--backend", help="Run on this backend only.", metavar="NAME")
]
Labels = Annotated[
    Path | None,
    typer.Option(help="Labels of a foreign .tflite, one a line.", metavar="FILE"),
]
Log = Annotated[
    LogForm | None,
    typer.Option(
        help="Form of the messages: sentences, or one JSON object a line. Default: text.",
        metavar="text|json",
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="Read options from a TOML file. Options of the command line override it, and --camera "
        "and --source replace its sources.",
        metavar="FILE",
        rich_help_panel=_CONFIG,
    ),
]
PrintConfig = Annotated[
    bool,
    typer.Option(
        "--print-config",
        help="Print all options as such a file on stdout, and stop.",
        rich_help_panel=_CONFIG,
    ),
]

# --- tracking -------------------------------------------------------------------------------------------

Track = Annotated[
    bool | None,
    typer.Option("--track", help="Number objects from frame to frame.", rich_help_panel=_TRACKING),
]
RegionsFile = Annotated[
    Path | None,
    typer.Option(
        "--regions",
        help="TOML file with lines and zones at which objects are counted; implies --track.",
        metavar="FILE",
        rich_help_panel=_TRACKING,
    ),
]
