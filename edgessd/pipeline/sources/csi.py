"""A camera on the board's CSI connector: `csi:0?width=1280&height=720&fps=30`.

GStreamer reads it on a Jetson, picamera2 on a Raspberry Pi.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qsl

from edgessd.core.errors import SourceError
from edgessd.pipeline.options.source import SourceOptions
from edgessd.pipeline.sources.gstreamer import GStreamerSource
from edgessd.pipeline.sources.source import Source
from edgessd.target.spec import CameraSpec

# A mode of the common sensors (IMX219, IMX477), and larger than the input of any detector here.
_DEFAULTS = {"width": 1280, "height": 720, "fps": 30}


class CsiCamera(NamedTuple):
    """Contents of a `csi:N?…` address.

    Attributes:
        sensor: N.
        width, height: Size in pixels.
        fps: Frames per second.
    """

    sensor: int
    width: int
    height: int
    fps: int


def open_csi(
    text: str, camera: CameraSpec, *, here: str, options: SourceOptions | None = None
) -> Source:
    """Open the camera on a CSI connector, in the way of this device.

    Args:
        text: `csi:N`, with an optional query of width, height and fps.
        camera: Pipelines of this machine's target.
        here: Name of that target. The name of a Raspberry Pi's begins with `raspberry-pi`.
        options: Size and rate for keys that the text lacks.

    Raises:
        SourceError: The machine has no such camera, the text is wrong, or the camera doesn't start.
    """
    if here.startswith("raspberry-pi"):
        from edgessd.pipeline.sources.raspberry_pi import RaspberryPiCamera

        address = csi_camera(text, options)
        return RaspberryPiCamera(
            address.sensor, width=address.width, height=address.height, fps=float(address.fps)
        )
    pipeline = csi_pipeline(text, camera, here=here, options=options)
    return GStreamerSource(pipeline, name=text.split("?")[0], live=True, endless=True)


def csi_pipeline(
    text: str, camera: CameraSpec, *, here: str, options: SourceOptions | None = None
) -> str:
    """Fill `csi:N?…` into the pipeline of the device."""
    if not camera.csi:
        raise SourceError(
            f"There is no CSI camera pipeline for {here}",
            expected="a Jetson with a CSI connector, or a Raspberry Pi",
            found=here,
            fix="Use --camera N for a USB camera, or a pipeline of your own: "
            '--source gst:"... ! appsink"',
        )
    return camera.csi.format(**csi_camera(text, options)._asdict())


def csi_camera(text: str, options: SourceOptions | None = None) -> CsiCamera:
    """Read `csi:N?width=…&height=…&fps=…`; keys that it lacks come from the options.

    Raises:
        SourceError: The text has another form.
    """
    sensor, _, query = text.removeprefix("csi:").partition("?")
    values = dict(_DEFAULTS)
    if options is not None:
        named = {"width": options.width, "height": options.height, "fps": options.fps}
        values |= {key: round(value) for key, value in named.items() if value is not None}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in values or not value.isdecimal() or int(value) == 0:
            raise _wrong(text, f"{key}={value}")
        values[key] = int(value)
    if not sensor.isdecimal() or (query and not parse_qsl(query)):
        raise _wrong(text, sensor if not sensor.isdecimal() else query)
    return CsiCamera(int(sensor), **values)


def _wrong(text: str, found: str) -> SourceError:
    return SourceError(
        f"{text} isn't a CSI camera",
        expected="csi:N, or csi:N?width=1280&height=720&fps=30",
        found=found or "nothing",
    )
