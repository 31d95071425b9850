"""A GStreamer pipeline that ends in an appsink, through an OpenCV that was built with GStreamer."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgessd.core.errors import SourceError
from edgessd.pipeline.frames import Frame
from edgessd.pipeline.sources.clock import moment
from edgessd.pipeline.sources.credentials import masked
from edgessd.pipeline.sources.native_stderr import captured_stderr
from edgessd.target.detect import l4t_release
from edgessd.target.opencv import find_opencv

if TYPE_CHECKING:
    import cv2

# Where elements come from, by their names' beginnings; the first that fits.
_PACKAGES = (
    ("nv", "nvidia-l4t-gstreamer"),
    ("video", "gstreamer1.0-plugins-base"),
    ("decodebin", "gstreamer1.0-plugins-base"),
    ("uridecodebin", "gstreamer1.0-plugins-base"),
    ("app", "gstreamer1.0-plugins-base"),
    ("avdec_", "gstreamer1.0-libav"),
    ("libcamera", "gstreamer1.0-libcamera"),
    ("h264parse", "gstreamer1.0-plugins-bad"),
    ("h265parse", "gstreamer1.0-plugins-bad"),
    ("x264enc", "gstreamer1.0-plugins-ugly"),
    ("rtsp", "gstreamer1.0-plugins-good"),
    ("souphttpsrc", "gstreamer1.0-plugins-good"),
    ("rtp", "gstreamer1.0-plugins-good"),
    ("v4l2", "gstreamer1.0-plugins-good"),
    ("qtdemux", "gstreamer1.0-plugins-good"),
    ("matroskademux", "gstreamer1.0-plugins-good"),
    ("jpegdec", "gstreamer1.0-plugins-good"),
)
_ELEMENT = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


class GStreamerSource:
    """Frames of a pipeline.

    Args:
        pipeline: As gst-launch-1.0 takes it, e.g.
            `v4l2src ! videoconvert ! video/x-raw,format=BGR ! appsink drop=true max-buffers=1`.
        name: For people; None takes the pipeline's first element.
        live: Whether frames come at their own pace; None says no only to a pipeline that reads a file.
        endless: Whether the end of the stream is a failure, as it is of a camera.

    Raises:
        SourceError: OpenCV has no GStreamer, an element isn't installed, or the pipeline doesn't start.
    """

    length: int | None

    def __init__(
        self,
        pipeline: str,
        *,
        name: str | None = None,
        live: bool | None = None,
        endless: bool = False,
    ) -> None:
        text = " ".join(pipeline.split())
        self.live = is_live(text) if live is None else live
        self.name = masked(name or f"gst:{text.split()[0] if text else ''}")
        self.decoder = "GStreamer"
        self.skipped: list[tuple[str, str]] = []
        self._endless = endless
        _require_gstreamer(self.name)
        _require_elements(self.name, text)
        self._capture = _open(self.name, with_appsink_options(text, live=self.live))
        self.fps, self.length = self._rate()

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while True:
            found, image = self._capture.read()
            if not found:
                break
            at = moment()
            yield Frame(
                image=_as_bgr(self.name, np.asarray(image, np.uint8)),
                source=self.name,
                index=index,
                timestamp=at.timestamp if self.live or not self.fps else index / self.fps,
                captured_at=at.captured_at,
            )
            index += 1
        if index == 0 or self._endless:
            raise SourceError(
                f"{self.name} stopped giving frames after {index}",
                fix="Check the camera and its cable; on a Jetson restart the camera's service with "
                "`sudo systemctl restart nvargus-daemon`."
                if self._endless
                else "Try the pipeline with gst-launch-1.0, autovideosink instead of appsink.",
            )

    def close(self) -> None:
        self._capture.release()

    def _rate(self) -> tuple[float | None, int | None]:
        """Frame rate and number of frames, None where the stream doesn't say."""
        import cv2

        with captured_stderr():  # asking a camera for its length makes GStreamer grumble
            fps = self._capture.get(cv2.CAP_PROP_FPS)
            count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        return fps or None, int(count) if count > 0 and not self.live else None


def elements_of(pipeline: str) -> tuple[str, ...]:
    """Names of the elements of a pipeline, without caps and references to pads, in order.

    Example: `a x=1 ! video/x-raw,width=9 ! b ! t. ! c` → ("a", "b", "c").
    """
    without_strings = re.sub(r'"(?:\\.|[^"\\])*"', '""', pipeline)
    words = (part.split()[0] for part in re.split(r"!", without_strings) if part.split())
    return tuple(dict.fromkeys(word for word in words if _ELEMENT.fullmatch(word)))


def with_appsink_options(pipeline: str, *, live: bool) -> str:
    """Give a bare appsink what a detector wants of a camera: the newest frame, and no other.

    An appsink that has options is left as it is, and so is a file's, whose frames all count.
    """
    if live and re.search(r"!\s*appsink\s*$", pipeline):
        return f"{pipeline.rstrip()} drop=true max-buffers=1 sync=false"
    return pipeline


def quoted(text: str) -> str:
    """A property's value for a pipeline: in quotes, whatever characters it has."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def gstreamer_usable() -> bool:
    """Whether the OpenCV of this Python was built with GStreamer."""
    return bool(find_opencv().gstreamer)


def missing_elements(names: Sequence[str]) -> tuple[str, ...]:
    """Those that aren't installed.

    Raises:
        SourceError: gst-inspect-1.0 isn't there to ask.
    """
    program = shutil.which("gst-inspect-1.0")
    if program is None:
        raise SourceError(
            "GStreamer's elements can't be looked up",
            expected="gst-inspect-1.0",
            found="none in PATH",
            fix="sudo apt install gstreamer1.0-tools",
        )
    return tuple(
        name
        for name in names
        if subprocess.run(
            [program, "--exists", name], capture_output=True, check=False, timeout=60
        ).returncode
        == 1
    )


def is_live(pipeline: str) -> bool:
    """Whether a pipeline reads something that sets its own pace: anything but a file."""
    return not re.search(r"(?:^|\s)(?:multi)?filesrc\b|\buri=\"?file:", pipeline)


def is_endless(pipeline: str) -> bool:
    """Whether the end of a pipeline's pictures is a failure, as it is of a camera."""
    return is_live(pipeline) and not re.search(r"\bnum-buffers=\"?\d", pipeline)


def _require_gstreamer(name: str) -> None:
    opencv = find_opencv()
    if opencv.gstreamer:
        return
    if opencv.problem:
        found, fix = opencv.problem, "Install the system's: sudo apt install python3-opencv"
    elif opencv.wheel:
        found = f"OpenCV {opencv.version} from {opencv.wheel}, built without it"
        fix = (
            f"Use the system's, which has it: sudo apt install python3-opencv, then "
            f"python -m pip uninstall -y {opencv.wheel.split()[0]}, in an environment made with "
            "python3 -m venv --system-site-packages"
        )
    else:
        found = f"OpenCV {opencv.version} built without it"
        fix = "Use the one of the distribution: sudo apt install python3-opencv"
    raise SourceError(
        f"{name} needs an OpenCV with GStreamer",
        expected="GStreamer: YES in cv2.getBuildInformation()",
        found=found,
        fix=fix,
    )


def _require_elements(name: str, pipeline: str) -> None:
    """Look before OpenCV does: some of its versions wait for ever for a pipeline with a gap in it."""
    if "appsink" not in elements_of(pipeline):
        raise SourceError(
            f"{name} has no appsink, from which OpenCV takes the frames",
            expected="a pipeline that ends in ! videoconvert ! video/x-raw,format=BGR ! appsink",
            found=masked(pipeline) or "nothing",
        )
    missing = missing_elements(elements_of(pipeline))
    if not missing:
        return
    raise SourceError(
        f"{name} needs GStreamer elements that aren't installed",
        expected=", ".join(elements_of(pipeline)),
        found=f"no {' and no '.join(missing)}",
        fix=how_to_install(missing, on_jetson=bool(l4t_release())),
    )


def how_to_install(missing: Sequence[str], *, on_jetson: bool) -> str:
    """What to do about elements that aren't there."""
    packages = {element: _package(element) for element in missing}
    nvidia = sorted({package for package in packages.values() if package.startswith("nvidia")})
    others = sorted({package for package in packages.values() if package} - set(nvidia))
    steps = []
    if nvidia and not on_jetson:
        steps.append("NVIDIA's are there on a Jetson alone: here use --camera N or --source FILE")
    install = [*others, *nvidia] if on_jetson else others
    if install:
        steps.append(f"sudo apt install {' '.join(install)}")
    unknown = [element for element, package in packages.items() if not package]
    if unknown:
        steps.append(
            f"check the spelling of {', '.join(unknown)}, or look for its package with "
            "`apt-cache search gstreamer1.0`"
        )
    return "; ".join(steps)


def _package(element: str) -> str:
    """The Debian package of an element, "" where it isn't known."""
    return next((package for beginning, package in _PACKAGES if element.startswith(beginning)), "")


def _open(name: str, pipeline: str) -> cv2.VideoCapture:
    import cv2

    with captured_stderr() as lines:
        capture = cv2.VideoCapture(pipeline, cv2.CAP_GSTREAMER)
    if capture.isOpened():
        return capture
    raise SourceError(
        f"{name} doesn't start",
        found=masked(_reason(lines)),
        fix=f"Try it by itself: gst-launch-1.0 {masked(_for_launch(pipeline))}",
    )


def _reason(lines: Sequence[str]) -> str:
    """What an element reported; else the first of OpenCV's lines that says something."""
    warnings = [
        text.strip() for line in lines if (text := line.partition("GStreamer warning: ")[2])
    ]
    reports = [text.partition(" reported: ")[2] for text in warnings if " reported: " in text]
    told = [text for text in warnings if "have not been created" not in text]
    spoken = [line.strip() for line in lines if line.strip()]
    return next(iter((*reports, *told, *spoken)), "no word from GStreamer")


def _for_launch(pipeline: str) -> str:
    return re.sub(r"appsink.*$", "fakesink", pipeline)


def _as_bgr(name: str, image: np.ndarray) -> np.ndarray:
    """(height, width, 3); refuses other formats, whose planes look like a picture but aren't."""
    if image.ndim == 3 and image.shape[2] == 3:
        return image
    raise SourceError(
        f"{name} gives pictures that aren't BGR",
        expected="(height, width, 3)",
        found=str(image.shape),
        fix="End the pipeline in ! videoconvert ! video/x-raw,format=BGR ! appsink",
    )
