"""`csi:0?width=1280&height=720&fps=30`: a camera on the board's own connector.

A Jetson's comes through GStreamer, a Raspberry Pi's through picamera2.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qsl

from edgessd.core.errors import SourceError
from edgessd.pipeline.options.source import SourceOptions
from edgessd.pipeline.sources.gstreamer import GStreamerSource
from edgessd.pipeline.sources.source import Source
from edgessd.target.spec import CameraSpec

# What the common sensors (IMX219, IMX477) have a mode for, and more than any detector here looks at.
_DEFAULTS = {"width": 1280, "height": 720, "fps": 30}


class CsiCamera(NamedTuple):
    """What `csi:N?…` says.

    Attributes:
        sensor: N.
        width, height: Pixels.
        fps: Frames a second.
    """

    sensor: int
    width: int
    height: int
    fps: int


def open_csi(
    text: str, camera: CameraSpec, *, here: str, options: SourceOptions | None = None
) -> Source:
    """Open the camera on a CSI connector in the device's own way.

    Args:
        text: `csi:N`, with width, height and fps as in a URL's query.
        camera: Pipelines of this machine's target.
        here: Name of that target: a Raspberry Pi's begins with `raspberry-pi`.
        options: Size and rate where the text names none.

    Raises:
        SourceError: The machine has no such camera, the text is wrong, or the camera doesn't start.
    """
    if here.startswith("raspberry-pi"):
        from edgessd.pipeline.sources.raspberry_pi import RaspberryPiCamera

        wish = csi_camera(text, options)
        return RaspberryPiCamera(
            wish.sensor, width=wish.width, height=wish.height, fps=float(wish.fps)
        )
    pipeline = csi_pipeline(text, camera, here=here, options=options)
    return GStreamerSource(pipeline, name=text.split("?")[0], live=True, endless=True)


def csi_pipeline(
    text: str, camera: CameraSpec, *, here: str, options: SourceOptions | None = None
) -> str:
    """The pipeline of `csi:N?…`, filled in."""
    if not camera.csi:
        raise SourceError(
            f"There is no CSI camera pipeline for {here}",
            expected="a Jetson with a CSI connector, or a Raspberry Pi",
            found=here,
            fix="Use --camera N for a USB camera, or a pipeline of your own: "
            '--source gst:"... ! appsink"',
        )
    wish = csi_camera(text, options)
    return camera.csi.format(sensor=wish.sensor, width=wish.width, height=wish.height, fps=wish.fps)


def csi_camera(text: str, options: SourceOptions | None = None) -> CsiCamera:
    """Read `csi:N?width=…&height=…&fps=…`; what it doesn't name comes from the options.

    Raises:
        SourceError: Anything else.
    """
    sensor, _, query = text.removeprefix("csi:").partition("?")
    wanted = dict(_DEFAULTS)
    if options is not None:
        named = {"width": options.width, "height": options.height, "fps": options.fps}
        wanted |= {key: round(value) for key, value in named.items() if value is not None}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in wanted or not value.isdecimal() or int(value) == 0:
            raise _wrong(text, f"{key}={value}")
        wanted[key] = int(value)
    if not sensor.isdecimal() or (query and not parse_qsl(query)):
        raise _wrong(text, sensor if not sensor.isdecimal() else query)
    return CsiCamera(int(sensor), **wanted)


def _wrong(text: str, found: str) -> SourceError:
    return SourceError(
        f"{text} isn't a CSI camera",
        expected="csi:N, or csi:N?width=1280&height=720&fps=30",
        found=found or "nothing",
    )
