"""A camera on a Raspberry Pi's CSI connector, through picamera2 (libcamera).

OpenCV's own reader gets only raw sensor data from it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from edgessd.core.arrays import ImageArray
from edgessd.core.errors import SourceError
from edgessd.pipeline.frames import Frame
from edgessd.pipeline.sources.clock import Moment, age_by_clock, moment

# libcamera names a format from its highest bits down: in memory "RGB888" is blue, green, red, which is
# OpenCV's order (Picamera2 manual, section 4.2.2, and libcamera's formats after DRM's drm_fourcc.h).
PIXEL_FORMAT = "RGB888"
_BUFFERS = 4


class RaspberryPiCamera:
    """Frames of camera N in the list of `rpicam-hello --list-cameras`.

    Args:
        number: N.
        width, height: Size of the picture in pixels. The ISP scales to it; odd sizes become even.
        fps: Frames per second, limited by the sensor's mode.

    Raises:
        SourceError: picamera2 isn't installed, or the camera is missing or in use.
    """

    live = True
    length: int | None = None

    def __init__(self, number: int, *, width: int, height: int, fps: float) -> None:
        picamera2 = _picamera2()
        self.name = f"csi:{number}"
        self.skipped: list[tuple[str, str]] = []
        self.fps: float | None = fps
        self.decoder = "libcamera"
        found = describe(picamera2.Picamera2.global_camera_info())
        if number not in found:
            raise SourceError(
                f"There is no CSI camera {number}",
                expected="one of " + ", ".join(f"{n} ({name})" for n, name in found.items())
                if found
                else "a camera on the CSI connector",
                found="none" if not found else f"number {number}",
                fix="`rpicam-hello --list-cameras` lists the cameras; check the flat cable at both ends and "
                "camera_auto_detect=1 in /boot/firmware/config.txt.",
            )
        try:
            self._camera = picamera2.Picamera2(number)
            self._start(width, height, fps)
        # libcamera raises RuntimeError for every error.
        except RuntimeError as error:
            raise SourceError(
                f"CSI camera {number} ({found[number]}) doesn't start",
                found=str(error),
                fix="End the program that uses it, such as rpicam-vid or motion.",
            ) from error

    def _start(self, width: int, height: int, fps: float) -> None:
        configuration = self._camera.create_video_configuration(
            main={"size": (width, height), "format": PIXEL_FORMAT},
            controls={"FrameRate": fps},
            buffer_count=_BUFFERS,
            # A queued frame would be old; without a queue the next request gets the next frame.
            queue=False,
        )
        # Only even sizes; the size that suits the hardware best would differ from the requested one.
        self._camera.align_configuration(configuration, optimal=False)
        self._camera.configure(configuration)
        self._camera.start()

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while True:
            try:
                image, at = self._next()
            except RuntimeError as error:
                raise SourceError(
                    f"{self.name} stopped giving frames after {index}",
                    found=str(error),
                    fix="Check the flat cable at both ends, and the power supply.",
                ) from error
            yield Frame(
                image=image,
                source=self.name,
                index=index,
                timestamp=at.timestamp,
                captured_at=at.captured_at,
            )
            index += 1

    def _next(self) -> tuple[ImageArray, Moment]:
        request = self._camera.capture_request()
        try:
            return as_bgr(request.make_array("main")), moment(age_of(request.get_metadata()))
        finally:
            request.release()

    def close(self) -> None:
        self._camera.stop()
        self._camera.close()


def as_bgr(array: np.ndarray) -> ImageArray:
    """Return a contiguous (height, width, 3) uint8 BGR array of picamera2's copy of a buffer.

    Raises:
        SourceError: The array has another shape, so the camera uses another format than `PIXEL_FORMAT`.
    """
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        raise SourceError(
            "The CSI camera gives another format than the requested one",
            expected=f"{PIXEL_FORMAT}: (height, width, 3) uint8",
            found=f"{array.shape} {array.dtype}",
        )
    # Rows of the buffer may be longer than those of the picture.
    return np.ascontiguousarray(array)


def age_of(metadata: Mapping[str, Any]) -> float:
    """Return the seconds since the sensor's first row was exposed; 0 if libcamera doesn't state it.

    `SensorTimestamp` is in nanoseconds of CLOCK_BOOTTIME (libcamera's controls, `SensorTimestamp`).
    """
    return age_by_clock(metadata.get("SensorTimestamp", 0) / 1e9, time.CLOCK_BOOTTIME)


def describe(information: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """Return the sensors of CSI cameras by number, from `Picamera2.global_camera_info()`.

    libcamera also lists USB cameras. They are left out: `--camera N` reads them.
    """
    return {
        int(entry["Num"]): str(entry["Model"])
        for entry in information
        if "/usb" not in str(entry.get("Id", ""))
    }


def list_csi_cameras() -> dict[int, str]:
    """List the CSI cameras of this Raspberry Pi: sensors by number.

    Raises:
        SourceError: picamera2 isn't installed.
    """
    return describe(_picamera2().Picamera2.global_camera_info())


def _picamera2() -> Any:
    # By default libcamera writes a page of information to stderr.
    os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:WARN")
    try:
        import picamera2
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == "picamera2"
        raise SourceError(
            "A Raspberry Pi's CSI camera needs picamera2",
            expected="the package python3-picamera2 where this Python can import it",
            found="none" if missing else str(error),
            fix="sudo apt install python3-picamera2, in an environment made with "
            "python3 -m venv --system-site-packages",
        ) from error
    return picamera2
