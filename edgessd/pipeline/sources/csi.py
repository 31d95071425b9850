"""`csi:0?width=1280&height=720&fps=30`: a camera on the board's own connector."""

from __future__ import annotations

from urllib.parse import parse_qsl

from edgessd.core.errors import SourceError
from edgessd.pipeline.sources.gstreamer import GStreamerSource
from edgessd.target.spec import CameraWish

# What the common sensors (IMX219, IMX477) have a mode for, and more than any detector here looks at.
_DEFAULTS = {"width": 1280, "height": 720, "fps": 30}


def open_csi(text: str, camera: CameraWish, *, here: str) -> GStreamerSource:
    """Open the camera on a CSI connector through the device's own pipeline.

    Args:
        text: `csi:N`, with width, height and fps as in a URL's query.
        camera: Pipelines of this machine's target.
        here: Name of that target, for the refusal.

    Raises:
        SourceError: The machine has no such pipeline, the text is wrong, or the camera doesn't start.
    """
    pipeline = csi_pipeline(text, camera, here=here)
    return GStreamerSource(pipeline, name=text.split("?")[0], live=True, endless=True)


def csi_pipeline(text: str, camera: CameraWish, *, here: str) -> str:
    """The pipeline of `csi:N?…`, filled in."""
    sensor, _, query = text.removeprefix("csi:").partition("?")
    if not camera.csi:
        raise SourceError(
            f"There is no CSI camera pipeline for {here}",
            expected="a Jetson with a CSI connector",
            found=here,
            fix="Use --camera N for a USB camera, or a pipeline of your own: "
            '--source gst:"... ! appsink"',
        )
    wanted = dict(_DEFAULTS)
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in wanted or not value.isdecimal() or int(value) == 0:
            raise _wrong(text, f"{key}={value}")
        wanted[key] = int(value)
    if not sensor.isdecimal() or (query and not parse_qsl(query)):
        raise _wrong(text, sensor if not sensor.isdecimal() else query)
    return camera.csi.format(sensor=int(sensor), **wanted)


def _wrong(text: str, found: str) -> SourceError:
    return SourceError(
        f"{text} isn't a CSI camera",
        expected="csi:N, or csi:N?width=1280&height=720&fps=30",
        found=found or "nothing",
    )
