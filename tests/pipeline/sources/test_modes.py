"""Which mode of a camera is taken, how the kernel's structures are read, what is listed without one."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from edgessd.core.errors import SourceError
from edgessd.pipeline.sources import v4l2
from edgessd.pipeline.sources.camera import describe_cameras, list_cameras
from edgessd.pipeline.sources.catalog import open_source
from edgessd.pipeline.sources.modes import CameraMode, choose_mode
from edgessd.pipeline.sources.v4l2 import holders, is_capture, rates_of, sizes_within


def mode(pixel_format: str, width: int, height: int, *rates: float) -> CameraMode:
    return CameraMode(pixel_format=pixel_format, width=width, height=height, rates=rates)


# A usual webcam, as `v4l2-ctl --list-formats-ext` shows it: raw pictures are slow where they are large.
WEBCAM = (
    mode("MJPG", 1920, 1080, 30, 15),
    mode("MJPG", 1280, 720, 60, 30),
    mode("MJPG", 640, 480, 30),
    mode("MJPG", 320, 240, 30),
    mode("YUYV", 1920, 1080, 5),
    mode("YUYV", 1280, 720, 10, 5),
    mode("YUYV", 640, 480, 30, 15),
    mode("YUYV", 320, 240, 30),
    mode("H264", 1920, 1080, 30),
)


@pytest.mark.parametrize(
    ("wish", "chosen"),
    [
        ({}, ("YUYV", 640, 480)),  # raw, since it reaches the rate
        ({"width": 1280, "height": 720}, ("MJPG", 1280, 720)),  # raw would be 10 FPS
        ({"width": 1280, "height": 720, "fps": 10}, ("YUYV", 1280, 720)),
        ({"width": 1280, "height": 720, "fps": 5}, ("YUYV", 1280, 720)),
        ({"width": 640, "height": 480, "pixel_format": "mjpg"}, ("MJPG", 640, 480)),
        ({"width": 800, "height": 600}, ("MJPG", 1280, 720)),  # the smallest that is larger
        ({"width": 4000, "height": 3000}, ("MJPG", 1920, 1080)),  # the largest there is
        ({"width": 1920}, ("MJPG", 1920, 1080)),
        ({"height": 240}, ("YUYV", 320, 240)),
        ({"fps": 60}, ("YUYV", 640, 480)),  # the size counts first
    ],
)
def test_the_nearest_mode_is_chosen(wish: dict[str, object], chosen: tuple[str, int, int]) -> None:
    found = choose_mode(WEBCAM, **wish)  # type: ignore[arg-type]
    assert (found.pixel_format, found.width, found.height) == chosen


def test_the_order_of_modes_does_not_matter() -> None:
    assert choose_mode(WEBCAM[::-1]) == choose_mode(WEBCAM)


def test_colour_comes_before_grey() -> None:
    assert (
        choose_mode((mode("GREY", 640, 480, 30), mode("MJPG", 640, 480, 30))).pixel_format == "MJPG"
    )
    assert choose_mode((mode("GREY", 640, 480, 30),)).pixel_format == "GREY"


def test_a_driver_s_29_97_is_30() -> None:
    modes = (mode("YUYV", 640, 480, 29.97), mode("MJPG", 640, 480, 30))
    assert choose_mode(modes, fps=30).pixel_format == "YUYV"
    assert modes[0].nearest_rate(30) == 29.97


def test_of_two_rates_equally_near_the_faster_counts() -> None:
    assert mode("YUYV", 1, 1, 20, 30).nearest_rate(25) == 30
    assert mode("YUYV", 1, 1).nearest_rate(25) is None


def test_a_format_that_the_camera_lacks_names_those_it_has() -> None:
    with pytest.raises(SourceError, match="no format NV12") as refusal:
        choose_mode(WEBCAM, pixel_format="NV12")
    assert refusal.value.found == "H264, MJPG, YUYV"
    with pytest.raises(SourceError, match="no picture format that can be used"):
        choose_mode((mode("H264", 640, 480, 30),))


# --- the kernel's structures --------------------------------------------------------------------------

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
    said = subprocess.run([tmp_path / "sizes"], capture_output=True, text=True, check=True).stdout
    sizes, requests, flags, offsets = (
        [int(word) for word in line.split()] for line in said.splitlines()
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
def test_what_gives_pictures(capabilities: int, captures: bool) -> None:
    assert is_capture(capabilities) is captures


def test_a_range_of_sizes_becomes_usual_ones_and_the_wished() -> None:
    sizes = sizes_within(32, 2592, 2, 32, 1944, 2, wished=(1001, 701))
    assert {(640, 480), (1280, 720), (1920, 1080), (2592, 1944), (1000, 700)} <= set(sizes)
    assert all(width % 2 == 0 and 32 <= width <= 2592 for width, _ in sizes)
    assert sizes_within(640, 640, 0, 480, 480, 0) == [(640, 480)]


def test_intervals_become_rates() -> None:
    assert rates_of([1 / 30]) == [30]
    assert rates_of([1 / 60], longest=1.0) == [5, 10, 15, 20, 24, 25, 30, 50, 60]
    assert rates_of([0.0]) == []
    assert rates_of([]) == []


def test_a_node_that_is_no_camera_says_so(tmp_path: Path) -> None:
    (tmp_path / "video0").write_bytes(b"")
    with pytest.raises(OSError, match="ioctl"):
        v4l2.query(tmp_path / "video0")


# --- listing ------------------------------------------------------------------------------------------


def described(folder: Path, number: int, name: str, index: int) -> None:
    node = folder / f"video{number}"
    node.mkdir()
    (node / "name").write_text(f"{name}\n")
    (node / "index").write_text(f"{index}\n")


def test_metadata_nodes_are_told_by_their_index(tmp_path: Path) -> None:
    described(tmp_path, 0, "C920", 0)
    described(tmp_path, 1, "C920", 1)
    described(tmp_path, 2, "Brio", 0)
    described(tmp_path, 3, "Brio", 1)
    assert list_cameras(tmp_path) == {0: "C920", 2: "Brio"}


def test_a_camera_that_can_t_be_asked_is_listed_with_the_reason(tmp_path: Path) -> None:
    described(tmp_path, 5, "C920", 0)
    (listed,) = describe_cameras(tmp_path, tmp_path / "dev")
    assert (listed.number, listed.name, listed.device) == (5, "C920", None)
    assert "No such file" in listed.problem


def test_who_holds_a_device_is_found(tmp_path: Path) -> None:
    device = tmp_path / "video0"
    device.touch()
    holder = subprocess.Popen(["sleep", "60"], stdin=device.open())
    try:
        assert holders(device) == (f"sleep ({holder.pid})",)
    finally:
        holder.kill()
        holder.wait()
    with device.open():
        assert os.getpid()  # this very process isn't somebody else
        assert holders(device) == ()


@pytest.mark.parametrize(
    "text",
    [
        "camera:",
        "camera:front",
        "camera:0?",
        "camera:0?width=wide",
        "camera:0?size=9",
        "camera:0?fps=",
    ],
)
def test_a_wrong_camera_is_refused(text: str) -> None:
    with pytest.raises(SourceError, match="isn't a camera"):
        open_source(text)


def test_wishes_out_of_range_are_refused() -> None:
    with pytest.raises(SourceError, match="width=-5"):
        open_source("camera:0?width=-5")
    with pytest.raises(SourceError, match="fps=nan"):
        open_source("camera:0?fps=nan")
