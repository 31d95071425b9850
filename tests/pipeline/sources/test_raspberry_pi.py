"""The parts of the Raspberry Pi's camera that can be tested without one."""

from __future__ import annotations

import importlib.util
import time

import cv2
import numpy as np
import pytest

from edgessd.core.errors import SourceError
from edgessd.pipeline.options.source import SourceOptions
from edgessd.pipeline.sources.csi import csi_camera, open_csi
from edgessd.pipeline.sources.raspberry_pi import PIXEL_FORMAT, age_of, as_bgr, describe
from edgessd.target.load import load_target
from edgessd.target.spec import CameraSpec

without_picamera2 = pytest.mark.skipif(
    importlib.util.find_spec("picamera2") is not None, reason="picamera2 is here"
)


def test_libcamera_s_rgb888_is_opencv_s_order() -> None:
    """libcamera's RGB888 is DRM_FORMAT_RGB888: 24 bits, red highest, lowest byte first in memory."""
    assert PIXEL_FORMAT == "RGB888"
    red, green, blue = 250, 120, 10
    pixel = (red << 16 | green << 8 | blue).to_bytes(3, "little")
    array = np.frombuffer(pixel * 6, np.uint8).reshape(2, 3, 3)
    image = as_bgr(array)
    assert image[0, 0].tolist() == [blue, green, red]
    # In OpenCV, red has a hue of 0 to 10, blue one of 110 to 130.
    assert cv2.cvtColor(image, cv2.COLOR_BGR2HSV)[0, 0, 0] < 20


def test_longer_rows_of_the_buffer_leave_no_gaps() -> None:
    buffer = np.arange(4 * 8 * 3, dtype=np.uint8).reshape(4, 8, 3)
    image = as_bgr(buffer[:, :6])
    assert image.flags.c_contiguous
    assert (image == buffer[:, :6]).all()
    whole = as_bgr(buffer)
    assert whole is buffer  # picamera2 has copied it already


@pytest.mark.parametrize("shape", [(4, 6, 4), (4, 6), (6, 6, 1)])
def test_another_format_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(SourceError, match="another format"):
        as_bgr(np.zeros(shape, np.uint8))


def test_the_sensor_s_time_counts_from_boot() -> None:
    stamp = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - 40_000_000
    assert age_of({"SensorTimestamp": stamp}) == pytest.approx(0.04, abs=0.02)
    assert age_of({}) == 0


def test_usb_cameras_are_left_out() -> None:
    listed = [
        {"Model": "imx708", "Num": 0, "Id": "/base/axi/pcie@120000/rp1/i2c@88000/imx708@1a"},
        {
            "Model": "HD Webcam",
            "Num": 1,
            "Id": "/base/axi/pcie@120000/rp1/usb@200000-2:1.0-046d:0825",
        },
    ]
    assert describe(listed) == {0: "imx708"}


@pytest.mark.parametrize("target", ["raspberry-pi", "raspberry-pi-4", "raspberry-pi-5"])
@without_picamera2
def test_without_picamera2_the_package_is_named(target: str) -> None:
    with pytest.raises(SourceError, match="needs picamera2") as refusal:
        open_csi("csi:0", load_target(target).camera, here=target)
    assert "sudo apt install python3-picamera2" in str(refusal.value)
    assert "--system-site-packages" in str(refusal.value)


def test_a_wrong_csi_address_is_refused() -> None:
    with pytest.raises(SourceError, match="isn't a CSI camera"):
        open_csi("csi:front", CameraSpec(), here="raspberry-pi")


def test_keys_of_a_csi_address_override_the_options() -> None:
    options = SourceOptions(address="csi:1", width=640, height=360, fps=60)
    assert csi_camera("csi:1", options) == (1, 640, 360, 60)
    assert csi_camera("csi:1?width=800&fps=15", options) == (1, 800, 360, 15)
    assert csi_camera("csi:0") == (0, 1280, 720, 30)
