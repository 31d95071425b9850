"""Find the OpenCV that this Python imports, and its GStreamer support."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgessd.target.packages import installed_version

# OpenCV has several names on the package index. A system's own often has no Python metadata.
WHEELS = (
    "opencv-python-headless",
    "opencv-python",
    "opencv-contrib-python-headless",
    "opencv-contrib-python",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenCv:
    """OpenCV that `import cv2` finds.

    Attributes:
        version: Version; "" if it can't be imported.
        wheel: Distribution and its version; "" for a system's own OpenCV.
        gstreamer: Version of GStreamer that it was built with; "" for none.
        problem: Reason why it can't be imported; "" if it can.
    """

    version: str = ""
    wheel: str = ""
    gstreamer: str = ""
    problem: str = ""


def find_opencv() -> OpenCv:
    """Import OpenCV and describe it."""
    wheel = installed_wheel()
    try:
        import cv2
    except ModuleNotFoundError:
        return OpenCv(wheel=wheel, problem="not installed")
    # Under NumPy 2, one that was compiled for NumPy 1 raises AttributeError or ImportError, by version.
    except (ImportError, AttributeError) as error:
        return OpenCv(wheel=wheel, problem=str(error).strip() or type(error).__name__)
    return OpenCv(
        version=str(cv2.__version__),
        wheel=wheel,
        gstreamer=gstreamer_in(cv2.getBuildInformation()),
    )


def gstreamer_in(build_information: str) -> str:
    """Read GStreamer's version from `cv2.getBuildInformation()`; "" if it was built without.

    `cv2.videoio_registry` is no help: it lists GStreamer as a plug-in that may not exist.
    """
    match = re.search(r"^\s*GStreamer:\s*YES(?:\s*\(([^)]+)\))?", build_information, re.MULTILINE)
    return (match[1] or "yes") if match else ""


def installed_wheel() -> str:
    """Return name and version of this environment's OpenCV distribution; "" for none."""
    found = (f"{name} {version}" for name in WHEELS if (version := installed_version(name)))
    return next(found, "")
