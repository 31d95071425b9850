"""Structures of the kernel, capabilities, sizes and rates of Video4Linux devices."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edgessd.pipeline.sources import v4l2
from edgessd.pipeline.sources.v4l2 import holders, is_capture, rates_of, sizes_within

pytestmark = pytest.mark.process

PROGRAM = """
#include <linux/videodev2.h>
#include <stddef.h>
#include <stdio.h>
int main(void) {
    printf("%zu %zu %zu %zu %zu\\n", sizeof(struct v4l2_capability), sizeof(struct v4l2_fmtdesc),
        sizeof(struct v4l2_frmsizeenum), sizeof(struct v4l2_frmivalenum), sizeof(struct v4l2_format));
    printf("%lu %lu %lu %lu %lu %lu\\n", (unsigned long)VIDIOC_QUERYCAP, (unsigned long)VIDIOC_ENUM_FMT,
        (unsigned long)VIDIOC_G_FMT, (unsigned long)VIDIOC_S_FMT, (unsigned long)VIDIOC_ENUM_FRAMESIZES,
        (unsigned long)VIDIOC_ENUM_FRAMEINTERVALS);
    printf("%u %u %u %u %u\\n", V4L2_CAP_VIDEO_CAPTURE, V4L2_CAP_VIDEO_CAPTURE_MPLANE, V4L2_CAP_VIDEO_M2M,
        V4L2_CAP_META_CAPTURE, V4L2_CAP_DEVICE_CAPS);
    printf("%zu %zu %zu\\n", offsetof(struct v4l2_capability, device_caps),
        offsetof(struct v4l2_fmtdesc, pixelformat), offsetof(struct v4l2_frmivalenum, discrete));
    return 0;
}
"""


def test_structures_and_numbers_are_those_of_the_kernel_s_header(tmp_path: Path) -> None:
    if shutil.which("gcc") is None or not Path("/usr/include/linux/videodev2.h").exists():
        pytest.skip("no compiler or kernel headers; sudo apt install gcc linux-libc-dev")
    (tmp_path / "sizes.c").write_text(PROGRAM)
    subprocess.run(["gcc", "-o", tmp_path / "sizes", tmp_path / "sizes.c"], check=True)
    report = subprocess.run([tmp_path / "sizes"], capture_output=True, text=True, check=True).stdout
    sizes, requests, flags, offsets = (
        [int(word) for word in line.split()] for line in report.splitlines()
    )
    assert sizes == [
        layout.size
        for layout in (
            v4l2.CAPABILITY, v4l2.FORMAT, v4l2.FRAME_SIZE, v4l2.FRAME_INTERVAL, v4l2.WHOLE_FORMAT,
        )
    ]  # fmt: skip
    assert requests == [
        v4l2.QUERYCAP, v4l2.ENUM_FMT, v4l2.G_FMT, v4l2.S_FMT, v4l2.ENUM_FRAMESIZES,
        v4l2.ENUM_FRAMEINTERVALS,
    ]  # fmt: skip
    assert flags == [
        v4l2.CAP_VIDEO_CAPTURE, v4l2.CAP_VIDEO_CAPTURE_MPLANE, v4l2.CAP_VIDEO_M2M,
        v4l2.CAP_META_CAPTURE, v4l2.CAP_DEVICE_CAPS,
    ]  # fmt: skip
    marked = v4l2.CAPABILITY.pack(b"", b"", b"", 0, 0, 0x01020304)
    assert marked.index(b"\x04\x03\x02\x01") == offsets[0]
    assert v4l2.FORMAT.pack(0, 0, 0, b"", 0x01020304).index(b"\x04\x03\x02\x01") == offsets[1]
    interval = v4l2.FRAME_INTERVAL.pack(0, 0, 0, 0, 0, 0x01020304, 0, 0, 0, 0, 0)
    assert interval.index(b"\x04\x03\x02\x01") == offsets[2]


@pytest.mark.parametrize(
    ("capabilities", "captures"),
    [
        (0x04200001, True),  # a UVC camera's pictures
        (0x04A00000, False),  # its metadata
        (0x04204000, False),  # a Raspberry Pi's codec, memory to memory
        (0x04208000, False),
        (0x04201000, True),  # a receiver with several planes
        (0x04200002, False),  # an output
    ],
)
def test_capabilities_tell_cameras_from_other_nodes(capabilities: int, captures: bool) -> None:
    assert is_capture(capabilities) is captures


def test_a_range_of_sizes_gives_the_usual_and_the_requested_one() -> None:
    sizes = sizes_within(32, 2592, 2, 32, 1944, 2, requested=(1001, 701))
    assert {(640, 480), (1280, 720), (1920, 1080), (2592, 1944), (1000, 700)} <= set(sizes)
    assert all(width % 2 == 0 and 32 <= width <= 2592 for width, _ in sizes)
    assert sizes_within(640, 640, 0, 480, 480, 0) == [(640, 480)]


def test_intervals_become_rates() -> None:
    assert rates_of([1 / 30]) == [30]
    assert rates_of([1 / 60], longest=1.0) == [5, 10, 15, 20, 24, 25, 30, 50, 60]
    assert rates_of([0.0]) == []
    assert rates_of([]) == []


def test_a_file_that_is_no_device_is_refused(tmp_path: Path) -> None:
    (tmp_path / "video0").write_bytes(b"")
    with pytest.raises(OSError, match="ioctl"):
        v4l2.query(tmp_path / "video0")


def test_programs_that_hold_a_device_are_found(tmp_path: Path) -> None:
    device = tmp_path / "video0"
    device.touch()
    holder = subprocess.Popen(["sleep", "60"], stdin=device.open())
    try:
        assert holders(device) == (f"sleep ({holder.pid})",)
    finally:
        holder.kill()
        holder.wait()
    with device.open():
        assert holders(device) == (), "this process itself doesn't count"
