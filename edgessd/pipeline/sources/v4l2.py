"""Query a Video4Linux device for its name, formats, sizes and frame rates, with the kernel's ioctls.

Structures and numbers are those of linux/videodev2.h. Their layout is the same on 64-bit x86 and Arm.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edgessd.pipeline.sources.modes import CameraMode

# struct v4l2_capability: driver, card, bus_info, version, capabilities, device_caps, reserved.
CAPABILITY = struct.Struct("=16s32s32sIII12x")
# struct v4l2_fmtdesc: index, type, flags, description, pixelformat, mbus_code, reserved.
FORMAT = struct.Struct("=III32sI16x")
# struct v4l2_frmsizeenum: index, pixel_format, type, then width and height, or a range of each.
FRAME_SIZE = struct.Struct("=III6I8x")
# struct v4l2_frmivalenum: index, pixel_format, width, height, type, then a fraction or three of them.
FRAME_INTERVAL = struct.Struct("=IIIII6I8x")
# struct v4l2_format: type, then (after padding to 8) a union of 200 bytes.
WHOLE_FORMAT = struct.Struct("=I4x200s")

_READ, _WRITE = 2, 1


def _request(direction: int, number: int, layout: struct.Struct) -> int:
    """Return an ioctl's number, composed as in asm-generic/ioctl.h."""
    return direction << 30 | layout.size << 16 | ord("V") << 8 | number


QUERYCAP = _request(_READ, 0, CAPABILITY)
ENUM_FMT = _request(_READ | _WRITE, 2, FORMAT)
G_FMT = _request(_READ | _WRITE, 4, WHOLE_FORMAT)
S_FMT = _request(_READ | _WRITE, 5, WHOLE_FORMAT)
ENUM_FRAMESIZES = _request(_READ | _WRITE, 74, FRAME_SIZE)
ENUM_FRAMEINTERVALS = _request(_READ | _WRITE, 75, FRAME_INTERVAL)

CAP_VIDEO_CAPTURE = 0x00000001
CAP_VIDEO_CAPTURE_MPLANE = 0x00001000
CAP_VIDEO_M2M_MPLANE = 0x00004000
CAP_VIDEO_M2M = 0x00008000
CAP_META_CAPTURE = 0x00800000
CAP_DEVICE_CAPS = 0x80000000
_CAPTURE, _CAPTURE_MPLANE = 1, 9
_DISCRETE = 1

# Sizes and rates listed for a driver that states a range; those outside the range are left out.
_USUAL_SIZES = (
    (160, 120),
    (320, 240),
    (640, 360),
    (640, 480),
    (800, 600),
    (1280, 720),
    (1920, 1080),
)
_USUAL_RATES = (5.0, 10.0, 15.0, 20.0, 24.0, 25.0, 30.0, 50.0, 60.0, 90.0, 120.0)
# Limit for a driver that never ends its list.
_MOST_ENTRIES = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """Description of a device by its driver.

    Attributes:
        path: Node, such as /dev/video0.
        driver: Name of the driver, such as `uvcvideo`.
        card: Name of the device.
        bus: Bus and port of the device.
        captures: True if it gives pictures; False for metadata nodes and codecs.
        modes: Modes; () if it captures nothing.
    """

    path: Path
    driver: str
    card: str
    bus: str
    captures: bool
    modes: tuple[CameraMode, ...]


def query(path: Path, requested: tuple[int, int] | None = None) -> Device:
    """Query a device.

    Args:
        path: Node, such as /dev/video0.
        requested: Size in pixels to list besides the usual ones, if the driver states a range.

    Raises:
        OSError: The device can't be opened, or isn't a Video4Linux device.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        driver, card, bus, _, capabilities, device = CAPABILITY.unpack(
            _ask(descriptor, QUERYCAP, bytes(CAPABILITY.size))
        )
        own = device if capabilities & CAP_DEVICE_CAPS else capabilities
        captures = is_capture(own)
        modes = tuple(_modes(descriptor, own, requested)) if captures else ()
    finally:
        os.close(descriptor)
    return Device(
        path=path,
        driver=_text(driver),
        card=_text(card),
        bus=_text(bus),
        captures=captures,
        modes=modes,
    )


def is_capture(capabilities: int) -> bool:
    """Check that a node with these capabilities gives pictures of a camera.

    A UVC camera has a second node for metadata. The codecs of a Raspberry Pi are memory-to-memory devices.
    """
    if capabilities & (CAP_VIDEO_M2M | CAP_VIDEO_M2M_MPLANE):
        return False
    return bool(capabilities & (CAP_VIDEO_CAPTURE | CAP_VIDEO_CAPTURE_MPLANE))


def is_busy(path: Path) -> bool:
    """Check whether another program captures from the device, by setting its present format again.

    Raises:
        OSError: The device can't be opened, or the driver refuses for another reason.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        present = _ask(descriptor, G_FMT, WHOLE_FORMAT.pack(_CAPTURE, bytes(200)))
        _ask(descriptor, S_FMT, present)
    except OSError as error:
        if error.errno == errno.EBUSY:
            return True
        raise
    finally:
        os.close(descriptor)
    return False


def holders(path: Path, proc: Path = Path("/proc")) -> tuple[str, ...]:
    """List the programs that have a device open, as `cheese (1234)`. Only root sees those of other users."""
    found = []
    for folder in sorted(proc.glob("[0-9]*")):
        try:
            links = [link.readlink() for link in (folder / "fd").iterdir()]
            name = (folder / "comm").read_text().strip()
        except OSError:  # a process of another user, or one that has just ended
            continue
        if path in links and folder.name != str(os.getpid()):
            found.append(f"{name} ({folder.name})")
    return tuple(found)


def _ask(descriptor: int, request: int, content: bytes) -> bytes:
    import fcntl

    return fcntl.ioctl(descriptor, request, content)


def _modes(
    descriptor: int, capabilities: int, requested: tuple[int, int] | None
) -> Iterator[CameraMode]:
    kind = _CAPTURE if capabilities & CAP_VIDEO_CAPTURE else _CAPTURE_MPLANE
    for entry in _enumerate(descriptor, ENUM_FMT, lambda i: FORMAT.pack(i, kind, 0, b"", 0)):
        code = FORMAT.unpack(entry)[4]
        name = struct.pack("=I", code & 0x7FFFFFFF).decode("ascii", "replace")
        for width, height in _sizes(descriptor, code, requested):
            rates = tuple(sorted(_rates(descriptor, code, width, height), reverse=True))
            yield CameraMode(pixel_format=name, width=width, height=height, rates=rates)


def _sizes(
    descriptor: int, code: int, requested: tuple[int, int] | None
) -> Iterator[tuple[int, int]]:
    for entry in _enumerate(
        descriptor, ENUM_FRAMESIZES, lambda i: FRAME_SIZE.pack(i, code, 0, *([0] * 6))
    ):
        kind, *numbers = FRAME_SIZE.unpack(entry)[2:]
        if kind == _DISCRETE:
            yield numbers[0], numbers[1]
        else:
            yield from sizes_within(*numbers, requested=requested)
            return


def sizes_within(
    least_width: int,
    most_width: int,
    step_width: int,
    least_height: int,
    most_height: int,
    step_height: int,
    *,
    requested: tuple[int, int] | None = None,
) -> list[tuple[int, int]]:
    """Return the usual sizes in a range, the requested one to the nearest step, and the largest."""

    def stepped(value: int, least: int, most: int, step: int) -> int:
        within = max(least, min(value, most))
        return least + (within - least) // max(step, 1) * max(step, 1)

    sizes = [*_USUAL_SIZES, (most_width, most_height), *([requested] if requested else [])]
    return sorted(
        {
            (
                stepped(width, least_width, most_width, step_width),
                stepped(height, least_height, most_height, step_height),
            )
            for width, height in sizes
        }
    )


def _rates(descriptor: int, code: int, width: int, height: int) -> Iterator[float]:
    for entry in _enumerate(
        descriptor,
        ENUM_FRAMEINTERVALS,
        lambda i: FRAME_INTERVAL.pack(i, code, width, height, 0, *([0] * 6)),
    ):
        kind, *numbers = FRAME_INTERVAL.unpack(entry)[4:]
        seconds = [a / b for a, b in zip(numbers[::2], numbers[1::2], strict=True) if b]
        if kind == _DISCRETE:
            yield from rates_of(seconds[:1])
        else:
            yield from rates_of(seconds[:1], longest=seconds[1] if len(seconds) > 1 else None)
            return


def rates_of(seconds: list[float], *, longest: float | None = None) -> list[float]:
    """Return the frame rate of an interval, and with `longest` also the usual rates of longer intervals."""
    fastest = [round(1 / interval, 3) for interval in seconds if interval > 0]
    if longest is None or longest <= 0 or not fastest:
        return fastest
    return sorted({*fastest, *(rate for rate in _USUAL_RATES if 1 / longest <= rate <= fastest[0])})


def _enumerate(descriptor: int, request: int, ask: Callable[[int], bytes]) -> Iterator[bytes]:
    """Yield the entries 0, 1, … until the driver states the end."""
    for index in range(_MOST_ENTRIES):
        try:
            yield _ask(descriptor, request, ask(index))
        except OSError as error:  # noqa: PERF203 - the call costs more than the block
            # ENOTTY: the driver lacks this call, as those of some capture cards do.
            if error.errno in (errno.EINVAL, errno.ENOTTY, errno.ENODATA):
                return
            raise


def _text(raw: bytes) -> str:
    return raw.split(b"\0")[0].decode("utf-8", "replace").strip()
