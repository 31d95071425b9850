"""A GStreamer pipeline that ends in an appsink, read by an OpenCV with GStreamer."""

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

# Packages of elements by the beginning of their names; the first match counts.
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
        pipeline: Pipeline in the syntax of gst-launch-1.0, such as
            `v4l2src ! videoconvert ! video/x-raw,format=BGR ! appsink drop=true max-buffers=1`.
        name: Name for messages; None for the pipeline's first element.
        live: True if frames come at their own pace; None decides by the pipeline, see `is_live`.
        endless: True if the end of the stream is a failure, as with a camera.

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
        """Return the frame rate and the number of frames, each None if the stream doesn't state it."""
        import cv2

        with captured_stderr():  # GStreamer warns if a camera is asked for its length
            fps = self._capture.get(cv2.CAP_PROP_FPS)
            count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        return fps or None, int(count) if count > 0 and not self.live else None


def elements_of(pipeline: str) -> tuple[str, ...]:
    """Return the names of a pipeline's elements in order, without caps and references to pads.

    Example: `a x=1 ! video/x-raw,width=9 ! b ! t. ! c` → ("a", "b", "c").
    """
    without_strings = re.sub(r'"(?:\\.|[^"\\])*"', '""', pipeline)
    words = (part.split()[0] for part in re.split(r"!", without_strings) if part.split())
    return tuple(dict.fromkeys(word for word in words if _ELEMENT.fullmatch(word)))


def with_appsink_options(pipeline: str, *, live: bool) -> str:
    """Make the appsink of a live pipeline keep only the newest frame.

    An appsink with options stays unchanged, and so does that of a file, of which no frame may be dropped.
    """
    if live and re.search(r"!\s*appsink\s*$", pipeline):
        return f"{pipeline.rstrip()} drop=true max-buffers=1 sync=false"
    return pipeline


def quoted(text: str) -> str:
    """Quote the value of a property for a pipeline."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def gstreamer_usable() -> bool:
    """Check that the OpenCV of this Python was built with GStreamer."""
    return bool(find_opencv().gstreamer)


def missing_elements(names: Sequence[str]) -> tuple[str, ...]:
    """Return the elements that aren't installed.

    Raises:
        SourceError: gst-inspect-1.0 isn't installed.
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
    """Check that a pipeline is live: every pipeline is, unless it reads a file."""
    return not re.search(r"(?:^|\s)(?:multi)?filesrc\b|\buri=\"?file:", pipeline)


def is_endless(pipeline: str) -> bool:
    """Check that the end of a pipeline's frames is a failure, as with a camera."""
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
    """Refuse a pipeline with a missing element, because some versions of OpenCV would wait forever for it."""
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
    """Return the steps to install missing elements."""
    packages = {element: _package(element) for element in missing}
    nvidia = sorted({package for package in packages.values() if package.startswith("nvidia")})
    others = sorted({package for package in packages.values() if package} - set(nvidia))
    steps = []
    if nvidia and not on_jetson:
        steps.append(
            "NVIDIA's elements exist only on a Jetson: use --camera N or --source FILE here"
        )
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
    """Return the Debian package of an element, or "" if it isn't known."""
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
        fix=f"Try it alone: gst-launch-1.0 {masked(_for_launch(pipeline))}",
    )


def _reason(lines: Sequence[str]) -> str:
    """Return the report of an element; without one, the first line of OpenCV that has a meaning."""
    warnings = [
        text.strip() for line in lines if (text := line.partition("GStreamer warning: ")[2])
    ]
    reports = [text.partition(" reported: ")[2] for text in warnings if " reported: " in text]
    useful = [text for text in warnings if "have not been created" not in text]
    others = [line.strip() for line in lines if line.strip()]
    return next(iter((*reports, *useful, *others)), "no message from GStreamer")


def _for_launch(pipeline: str) -> str:
    return re.sub(r"appsink.*$", "fakesink", pipeline)


def _as_bgr(name: str, image: np.ndarray) -> np.ndarray:
    """Return a (height, width, 3) picture; refuse other formats, whose planes aren't BGR."""
    if image.ndim == 3 and image.shape[2] == 3:
        return image
    raise SourceError(
        f"{name} gives pictures that aren't BGR",
        expected="(height, width, 3)",
        found=str(image.shape),
        fix="End the pipeline in ! videoconvert ! video/x-raw,format=BGR ! appsink",
    )
