"""A camera that Video4Linux knows, by its number."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edgessd.core.errors import SourceError
from edgessd.pipeline.frames import Frame

_SYSFS = Path("/sys/class/video4linux")


def list_cameras(sysfs: Path = _SYSFS) -> dict[int, str]:
    """Numbers and names of the Video4Linux devices of this machine.

    Args:
        sysfs: Where the kernel describes them: one folder `videoN` each, with a file `name`.
    """
    cameras = {}
    for folder in sysfs.glob("video*") if sysfs.is_dir() else ():
        number = folder.name.removeprefix("video")
        if number.isdigit():
            title = folder / "name"
            cameras[int(number)] = title.read_text().strip() if title.is_file() else folder.name
    return dict(sorted(cameras.items()))


class CameraSource:
    """Frames of `/dev/videoN` as they come.

    Args:
        number: N.
        width: Wished width in pixels; the driver takes the nearest it has.
        height: Wished height in pixels.
        fps: Wished frame rate.

    Raises:
        SourceError: No such camera, or it is in use or refuses.
    """

    live = True
    fps: float | None
    length: int | None = None

    def __init__(
        self,
        number: int,
        *,
        width: int | None = None,
        height: int | None = None,
        fps: float | None = None,
    ) -> None:
        import cv2

        self.name = f"camera {number}"
        self.skipped: list[tuple[str, str]] = []
        cameras = list_cameras()
        if number not in cameras:
            raise SourceError(
                f"There is no camera {number}",
                expected=_listed(cameras),
                found=f"no /dev/video{number}",
                fix="Plug the camera in and look with `edgessd doctor`, or use --source FILE.",
            )
        self._capture = cv2.VideoCapture(number, cv2.CAP_V4L2)
        if not self._capture.isOpened():
            raise SourceError(
                f"Camera {number} ({cameras[number]}) can't be opened",
                found="a device that another program holds, or one that this user may not read",
                fix=f"See who uses it with `fuser /dev/video{number}`; "
                "join the group with `sudo usermod -aG video $USER`.",
            )
        # Compressed frames first: over USB 2 raw YUYV halves the frame rate above 640x480.
        self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        # One buffer only: what a detector wants is the newest frame, not the oldest.
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        for key, value in (
            (cv2.CAP_PROP_FRAME_WIDTH, width),
            (cv2.CAP_PROP_FRAME_HEIGHT, height),
            (cv2.CAP_PROP_FPS, fps),
        ):
            if value is not None:
                self._capture.set(key, value)
        self.fps = self._capture.get(cv2.CAP_PROP_FPS) or None

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while True:
            found, image = self._capture.read()
            if not found:
                raise SourceError(
                    f"{self.name} stopped giving frames after {index}",
                    fix="Check the cable and the power supply, then start again.",
                )
            yield Frame(
                image=np.asarray(image, np.uint8),
                source=self.name,
                index=index,
                timestamp=time.time(),
                captured_at=time.perf_counter(),
            )
            index += 1

    def close(self) -> None:
        self._capture.release()


def _listed(cameras: dict[int, str]) -> str:
    if not cameras:
        return "a Video4Linux camera, but this machine has none"
    return "one of " + ", ".join(f"{number} ({name})" for number, name in cameras.items())
