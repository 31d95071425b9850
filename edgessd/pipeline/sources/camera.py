"""A camera that Video4Linux knows: `camera:0?width=1280&height=720&fps=30&format=MJPG`."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgessd.core.errors import SourceError
from edgessd.pipeline.frames import Frame
from edgessd.pipeline.sources.clock import age_by_clock, moment
from edgessd.pipeline.sources.modes import CameraMode, choose_mode
from edgessd.pipeline.sources.native_stderr import captured_stderr
from edgessd.pipeline.sources.v4l2 import Device, holders, is_busy, query

if TYPE_CHECKING:
    import cv2

_log = logging.getLogger(__name__)

_SYSFS = Path("/sys/class/video4linux")
_DEV = Path("/dev")
# The receivers of a Raspberry Pi's CSI connector give raw sensor data, its ISP wants to be fed: both are
# libcamera's.
_LIBCAMERA_DRIVERS = ("unicam", "rp1-cfe", "bcm2835-isp", "pispbe", "rpi-hevc-dec", "rpivid")
# One buffer would be empty while its picture is decoded, and every second frame lost.
_BUFFERS = 2
# A damaged picture now and then is a cable's; this many in a row is a camera that doesn't work.
_MOST_DAMAGED = 30
_MOST_SKIPPED = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedCamera:
    """A camera of this machine.

    Attributes:
        number: N of `--camera N`.
        name: As its maker calls it.
        device: What the driver says, None where it may not be asked.
        problem: Why it can't be used as it is, "" where it can.
    """

    number: int
    name: str
    device: Device | None
    problem: str = ""


def list_cameras(sysfs: Path = _SYSFS) -> dict[int, str]:
    """Numbers and names of the Video4Linux devices of this machine that may be cameras.

    Args:
        sysfs: Where the kernel describes them: one folder `videoN` each, with the files `name` and
            `index`. A camera's first node has index 0, the others carry its metadata.
    """
    cameras = {}
    for folder in sysfs.glob("video*") if sysfs.is_dir() else ():
        number = folder.name.removeprefix("video")
        if number.isdigit() and _read(folder / "index") in ("", "0"):
            cameras[int(number)] = _read(folder / "name") or folder.name
    return dict(sorted(cameras.items()))


def describe_cameras(sysfs: Path = _SYSFS, dev: Path = _DEV) -> list[ListedCamera]:
    """Cameras of this machine with their formats, sizes and rates, by number.

    Codecs and metadata are left out; a camera that can't be asked or used says why.
    """
    listed = []
    for number, name in list_cameras(sysfs).items():
        path = dev / f"video{number}"
        try:
            device = query(path)
        except OSError as error:
            why = f"can't be asked: {error.strerror or error}"
            if isinstance(error, PermissionError):
                why += "; sudo usermod -aG video $USER, then log in again"
            listed.append(ListedCamera(number=number, name=name, device=None, problem=why))
            continue
        if _is_raw_receiver(device):
            why = "the raw data of a CSI camera: use --source csi:0"
            if "isp" not in device.driver and device.captures:
                listed.append(ListedCamera(number=number, name=name, device=device, problem=why))
        elif device.captures:
            usable = not device.modes or any(mode.usable for mode in device.modes)
            why = "" if usable else "no picture format that OpenCV can decode"
            listed.append(ListedCamera(number=number, name=name, device=device, problem=why))
    return listed


class CameraSource:
    """Frames of `/dev/videoN` as they come, with the driver's own time of capture.

    Args:
        number: N.
        width, height: Wished size in pixels; the nearest mode is taken, and said if it is another.
        fps: Wished frame rate.
        pixel_format: `MJPG`, `YUYV` …; None takes raw pictures where they reach the rate.

    Attributes:
        mode: What was chosen, None where the driver lists nothing.

    Raises:
        SourceError: No such camera, or it is in use, refuses, or has no such format.
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
        pixel_format: str | None = None,
    ) -> None:
        self.name = f"camera {number}"
        self.skipped: list[tuple[str, str]] = []
        path = _DEV / f"video{number}"
        if not path.exists():
            raise _absent(number)
        device = _ask(number, path, (width, height))
        self.mode = (
            choose_mode(
                device.modes, width=width, height=height, fps=fps, pixel_format=pixel_format
            )
            if device.modes
            else None
        )
        self._capture = _open(number, path, device)
        wanted = self.mode or CameraMode(
            pixel_format=pixel_format or "MJPG", width=width or 640, height=height or 480
        )
        _set(self._capture, wanted, wanted.nearest_rate(fps or 30.0) or fps)
        self.fps = self._check(device, wanted, width, height, fps)
        self.decoder = f"Video4Linux, {wanted.pixel_format.strip()}"

    def __iter__(self) -> Iterator[Frame]:
        import cv2

        index = damaged = 0
        while True:
            if not self._capture.grab():
                raise SourceError(
                    f"{self.name} stopped giving frames after {index}",
                    fix="Check the cable and the power supply. Two raw cameras are too much for one USB "
                    "bus: try --format MJPG or a smaller --width.",
                )
            at = moment(age_by_clock(self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3))
            found, image = self._capture.retrieve()
            index += 1
            if not found or image is None:
                damaged += 1
                self._skip(index - 1)
                if damaged == _MOST_DAMAGED:
                    raise SourceError(
                        f"{self.name} gives damaged pictures only",
                        found=f"{damaged} in a row that don't decode",
                        fix="Try another cable, or another --format.",
                    )
                continue
            damaged = 0
            yield Frame(
                image=_as_bgr(np.asarray(image)),
                source=self.name,
                index=index - 1,
                timestamp=at.timestamp,
                captured_at=at.captured_at,
            )

    def close(self) -> None:
        self._capture.release()

    def _skip(self, index: int) -> None:
        if len(self.skipped) < _MOST_SKIPPED:
            self.skipped.append((f"{self.name}, frame {index}", "a damaged picture"))

    def _check(
        self,
        device: Device,
        wanted: CameraMode,
        width: int | None,
        height: int | None,
        fps: float | None,
    ) -> float | None:
        """What the driver took, told where the user asked for something else; its frame rate."""
        import cv2

        have = tuple(
            int(self._capture.get(key))
            for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        )
        rate = self._capture.get(cv2.CAP_PROP_FPS) or wanted.nearest_rate(fps or 30.0)
        asked = (width or have[0], height or have[1])
        other_rate = bool(fps and rate and abs(rate - fps) > 0.5)
        described = f"{have[0]}x{have[1]} {wanted.pixel_format.strip()}" + (
            f" at {rate:g} FPS" if rate else ""
        )
        self.description = f"{device.card}, {described}"
        if have != asked or other_rate:
            wish = f"{asked[0]}x{asked[1]}" + (f" at {fps:g} FPS" if fps else "")
            _log.warning(
                "%s (%s) has no %s; the nearest is %s",
                self.name,
                device.card,
                wish,
                described,
                extra={
                    "edgessd": {
                        "event": "camera_mode",
                        "source": self.name,
                        "width": have[0],
                        "height": have[1],
                        "fps": rate,
                        "format": wanted.pixel_format.strip(),
                    }
                },
            )
        return rate or None


def _ask(number: int, path: Path, size: tuple[int | None, int | None]) -> Device:
    """What the driver says; refuses what is no camera."""
    wished = (size[0], size[1]) if size[0] and size[1] else None
    try:
        device = query(path, wished)
    except PermissionError as error:
        raise SourceError(
            f"Camera {number} may not be opened by this user",
            expected=f"permission to read and write {path}",
            found=error.strerror or "none",
            fix="sudo usermod -aG video $USER, then log in again.",
        ) from error
    except OSError as error:
        raise SourceError(
            f"Camera {number} can't be asked what it is",
            expected=f"a Video4Linux device at {path}",
            found=error.strerror or str(error),
            fix="Unplug it and plug it in again; `edgessd run --list` shows what works.",
        ) from error
    csi = _is_raw_receiver(device)
    if not device.captures or csi:
        raise SourceError(
            f"/dev/video{number} is no camera that gives pictures",
            expected=_listed(list_cameras()),
            found=f"{device.card} (driver {device.driver}), "
            + ("the raw data of a CSI sensor" if csi else "a codec or a camera's metadata"),
            fix="Use --source csi:0, which makes pictures of them."
            if csi
            else "Try the number before it.",
        )
    return device


def _is_raw_receiver(device: Device) -> bool:
    """Whether a node gives what a sensor gives, before anything made a picture of it."""
    if device.driver.startswith(_LIBCAMERA_DRIVERS):
        return True
    # Behind a Jetson's receiver there may be a sensor with an ISP of its own, whose pictures are usable.
    return device.driver == "tegra-video" and not any(mode.usable for mode in device.modes)


def _open(number: int, path: Path, device: Device) -> cv2.VideoCapture:
    import cv2

    with contextlib.suppress(OSError):  # then OpenCV says what it thinks of it
        if is_busy(path):
            raise _in_use(number, path, device)
    with captured_stderr() as lines:
        capture = cv2.VideoCapture(number, cv2.CAP_V4L2)
    if capture.isOpened():
        return capture
    if holders(path):
        raise _in_use(number, path, device)
    said = [line.strip() for line in lines if line.strip()]
    raise SourceError(
        f"Camera {number} ({device.card}) can't be opened",
        found=said[-1] if said else "a device that refuses",
        fix=f"Unplug it and plug it in again; look with `v4l2-ctl -d {path} --all`.",
    )


def _set(capture: cv2.VideoCapture, mode: CameraMode, fps: float | None) -> None:
    import cv2

    capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*mode.pixel_format))
    capture.set(cv2.CAP_PROP_FRAME_WIDTH, mode.width)
    capture.set(cv2.CAP_PROP_FRAME_HEIGHT, mode.height)
    if fps is not None:
        capture.set(cv2.CAP_PROP_FPS, fps)
    capture.set(cv2.CAP_PROP_BUFFERSIZE, _BUFFERS)


def _as_bgr(image: np.ndarray) -> np.ndarray:
    """(height, width, 3) uint8: OpenCV hands 8- and 16-bit grey through as it is."""
    import cv2

    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if image.ndim == 2 or image.shape[2] == 1:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))
    return image


def _absent(number: int) -> SourceError:
    return SourceError(
        f"There is no camera {number}",
        expected=_listed(list_cameras()),
        found=f"no /dev/video{number}",
        fix="Plug the camera in and look with `edgessd run --list`, or use --source FILE.",
    )


def _in_use(number: int, path: Path, device: Device) -> SourceError:
    programs = ", ".join(holders(path))
    return SourceError(
        f"Camera {number} ({device.card}) is in use",
        found=f"held by {programs}" if programs else "held by a program of another user",
        fix="End that program first." if programs else f"See which with `sudo fuser -v {path}`.",
    )


def _listed(cameras: dict[int, str]) -> str:
    if not cameras:
        return "a Video4Linux camera, but this machine has none"
    return "one of " + ", ".join(f"{number} ({name})" for number, name in cameras.items())


def _read(path: Path) -> str:
    """A file's text, "" where there is none or it may not be read."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
