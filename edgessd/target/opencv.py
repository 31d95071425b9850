"""Which OpenCV this Python imports, and whether it reads GStreamer pipelines."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgessd.target.packages import installed_version

# OpenCV from a package index comes under several names; a system's own often has no Python metadata.
WHEELS = (
    "opencv-python-headless",
    "opencv-python",
    "opencv-contrib-python-headless",
    "opencv-contrib-python",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenCv:
    """The OpenCV that `import cv2` finds.

    Attributes:
        version: Its version, "" where it can't be imported.
        wheel: Distribution that brought it, with its version; "" for a system's own.
        gstreamer: GStreamer's version that it was built with, "" for none.
        problem: Why it can't be imported, "" where it can.
    """

    version: str = ""
    wheel: str = ""
    gstreamer: str = ""
    problem: str = ""


def find_opencv() -> OpenCv:
    """Import OpenCV and ask it."""
    wheel = installed_wheel()
    try:
        import cv2
    except ModuleNotFoundError:
        return OpenCv(wheel=wheel, problem="not installed")
    # One that was compiled for NumPy 1 says AttributeError or ImportError, by version, under NumPy 2.
    except (ImportError, AttributeError) as error:
        return OpenCv(wheel=wheel, problem=str(error).strip() or type(error).__name__)
    return OpenCv(
        version=str(cv2.__version__),
        wheel=wheel,
        gstreamer=gstreamer_in(cv2.getBuildInformation()),
    )


def gstreamer_in(build_information: str) -> str:
    """GStreamer's version from `cv2.getBuildInformation()`, "" where it was built without.

    `cv2.videoio_registry` isn't asked: it lists GStreamer as a plug-in that might be there.
    """
    match = re.search(r"^\s*GStreamer:\s*YES(?:\s*\(([^)]+)\))?", build_information, re.MULTILINE)
    return (match[1] or "yes") if match else ""


def installed_wheel() -> str:
    """Name and version of the OpenCV distribution of this environment, "" for none."""
    found = (f"{name} {version}" for name in WHEELS if (version := installed_version(name)))
    return next(found, "")
