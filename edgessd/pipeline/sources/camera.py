"""A Video4Linux camera: `camera:0?width=1280&height=720&fps=30&format=MJPG`."""

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
# Drivers of a Raspberry Pi's CSI receiver, ISP and codecs. Only libcamera can use them: the receiver gives
# raw sensor data, the ISP needs input.
_LIBCAMERA_DRIVERS = ("unicam", "rp1-cfe", "bcm2835-isp", "pispbe", "rpi-hevc-dec", "rpivid")
# With one buffer every second frame would be lost: the buffer isn't free while its picture is decoded.
_BUFFERS = 2
# A bad cable damages some pictures. This many damaged pictures in a row mean that the camera doesn't work.
_MOST_DAMAGED = 30
_MOST_SKIPPED = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedCamera:
    """A camera of this machine.

    Attributes:
        number: N of `--camera N`.
        name: Name given by its maker.
        device: Description by its driver; None if the driver can't be asked.
        problem: Reason why the camera can't be used; "" if it can.
    """

    number: int
    name: str
    device: Device | None
    problem: str = ""


def list_cameras(sysfs: Path = _SYSFS) -> dict[int, str]:
    """List the Video4Linux devices of this machine that may be cameras: names by number.

    Args:
        sysfs: Folder of the kernel with one folder `videoN` per device, which has the files `name` and
            `index`. The first node of a camera has index 0; the others carry its metadata.
    """
    cameras = {}
    for folder in sysfs.glob("video*") if sysfs.is_dir() else ():
        number = folder.name.removeprefix("video")
        if number.isdigit() and _read(folder / "index") in ("", "0"):
            cameras[int(number)] = _read(folder / "name") or folder.name
    return dict(sorted(cameras.items()))


def describe_cameras(sysfs: Path = _SYSFS, dev: Path = _DEV) -> list[ListedCamera]:
    """List the cameras of this machine with their formats, sizes and rates, by number.

    Codecs and metadata nodes are left out. A camera that can't be opened or used has its `problem`.
    """
    listed = []
    for number, name in list_cameras(sysfs).items():
        path = dev / f"video{number}"
        try:
            device = query(path)
        except OSError as error:
            problem = f"can't be opened: {error.strerror or error}"
            if isinstance(error, PermissionError):
                problem += "; sudo usermod -aG video $USER, then log in again"
            listed.append(ListedCamera(number=number, name=name, device=None, problem=problem))
            continue
        if _is_raw_receiver(device):
            problem = "gives raw data of a CSI sensor: use --source csi:0"
            if "isp" not in device.driver and device.captures:
                listed.append(
                    ListedCamera(number=number, name=name, device=device, problem=problem)
                )
        elif device.captures:
            usable = not device.modes or any(mode.usable for mode in device.modes)
            problem = "" if usable else "has no picture format that OpenCV can decode"
            listed.append(ListedCamera(number=number, name=name, device=device, problem=problem))
    return listed


class CameraSource:
    """Frames of `/dev/videoN`, with the driver's time of capture.

    Args:
        number: N.
        width, height: Requested size in pixels. The nearest mode is used; if it differs, a warning is logged.
        fps: Requested frame rate.
        pixel_format: Format such as `MJPG` or `YUYV`; None prefers raw pictures if they reach the rate.

    Attributes:
        mode: Mode in use; None if the driver lists none.

    Raises:
        SourceError: The camera is missing, in use, can't be opened, or lacks the format.
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
        mode = self.mode or CameraMode(
            pixel_format=pixel_format or "MJPG", width=width or 640, height=height or 480
        )
        _set(self._capture, mode, mode.nearest_rate(fps or 30.0) or fps)
        self.fps = self._report_mode(device, mode, width, height, fps)
        self.decoder = f"Video4Linux, {mode.pixel_format.strip()}"

    def __iter__(self) -> Iterator[Frame]:
        import cv2

        index = damaged = 0
        while True:
            if not self._capture.grab():
                raise SourceError(
                    f"{self.name} stopped giving frames after {index}",
                    fix="Check the cable and the power supply. Two cameras with raw pictures exceed one "
                    "USB bus: try --format MJPG or a smaller --width.",
                )
            at = moment(age_by_clock(self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3))
            found, image = self._capture.retrieve()
            index += 1
            if not found or image is None:
                damaged += 1
                self._skip(index - 1)
                if damaged == _MOST_DAMAGED:
                    raise SourceError(
                        f"{self.name} gives only damaged pictures",
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

    def _report_mode(
        self,
        device: Device,
        mode: CameraMode,
        width: int | None,
        height: int | None,
        fps: float | None,
    ) -> float | None:
        """Log the mode in use if it isn't the requested one; return its frame rate."""
        import cv2

        have = tuple(
            int(self._capture.get(key))
            for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        )
        rate = self._capture.get(cv2.CAP_PROP_FPS) or mode.nearest_rate(fps or 30.0)
        requested = (width or have[0], height or have[1])
        other_rate = bool(fps and rate and abs(rate - fps) > 0.5)
        described = f"{have[0]}x{have[1]} {mode.pixel_format.strip()}" + (
            f" at {rate:g} FPS" if rate else ""
        )
        self.description = f"{device.card}, {described}"
        if have != requested or other_rate:
            missing = f"{requested[0]}x{requested[1]}" + (f" at {fps:g} FPS" if fps else "")
            _log.warning(
                "%s (%s) has no %s; the nearest is %s",
                self.name,
                device.card,
                missing,
                described,
                extra={
                    "edgessd": {
                        "event": "camera_mode",
                        "source": self.name,
                        "width": have[0],
                        "height": have[1],
                        "fps": rate,
                        "format": mode.pixel_format.strip(),
                    }
                },
            )
        return rate or None


def _ask(number: int, path: Path, size: tuple[int | None, int | None]) -> Device:
    """Ask the driver for a description; refuse a device that isn't a camera."""
    requested = (size[0], size[1]) if size[0] and size[1] else None
    try:
        device = query(path, requested)
    except PermissionError as error:
        raise SourceError(
            f"Camera {number} may not be opened by this user",
            expected=f"permission to read and write {path}",
            found=error.strerror or "none",
            fix="sudo usermod -aG video $USER, then log in again.",
        ) from error
    except OSError as error:
        raise SourceError(
            f"Camera {number} can't be opened",
            expected=f"a Video4Linux device at {path}",
            found=error.strerror or str(error),
            fix="Unplug it and plug it in again; `edgessd run --list` shows what works.",
        ) from error
    csi = _is_raw_receiver(device)
    if not device.captures or csi:
        raise SourceError(
            f"/dev/video{number} isn't a camera that gives pictures",
            expected=_listed(list_cameras()),
            found=f"{device.card} (driver {device.driver}), "
            + ("raw data of a CSI sensor" if csi else "a codec or a camera's metadata"),
            fix="Use --source csi:0, which makes pictures of the data."
            if csi
            else "Try the number before it.",
        )
    return device


def _is_raw_receiver(device: Device) -> bool:
    """Check that a node gives raw sensor data, which isn't a picture yet."""
    if device.driver.startswith(_LIBCAMERA_DRIVERS):
        return True
    # On a Jetson, a sensor with its own ISP gives usable pictures through the same driver.
    return device.driver == "tegra-video" and not any(mode.usable for mode in device.modes)


def _open(number: int, path: Path, device: Device) -> cv2.VideoCapture:
    import cv2

    with contextlib.suppress(OSError):  # then OpenCV finds the reason below
        if is_busy(path):
            raise _in_use(number, path, device)
    with captured_stderr() as lines:
        capture = cv2.VideoCapture(number, cv2.CAP_V4L2)
    if capture.isOpened():
        return capture
    if holders(path):
        raise _in_use(number, path, device)
    reasons = [line.strip() for line in lines if line.strip()]
    raise SourceError(
        f"Camera {number} ({device.card}) can't be opened",
        found=reasons[-1] if reasons else "no reason given by the driver",
        fix=f"Unplug it and plug it in again; `v4l2-ctl -d {path} --all` shows its state.",
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
    """Convert to (height, width, 3) uint8; OpenCV passes 8- and 16-bit gray on unchanged."""
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
        fix="Plug the camera in; `edgessd run --list` shows it then. Or use --source FILE.",
    )


def _in_use(number: int, path: Path, device: Device) -> SourceError:
    programs = ", ".join(holders(path))
    return SourceError(
        f"Camera {number} ({device.card}) is in use",
        found=f"held by {programs}" if programs else "held by a program of another user",
        fix="End that program first." if programs else f"`sudo fuser -v {path}` names it.",
    )


def _listed(cameras: dict[int, str]) -> str:
    if not cameras:
        return "a Video4Linux camera, but this machine has none"
    return "one of " + ", ".join(f"{number} ({name})" for number, name in cameras.items())


def _read(path: Path) -> str:
    """Return a file's text, or "" if it can't be read."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
