"""Choice of a camera's mode."""

from __future__ import annotations

import pytest

from edgessd.core.errors import SourceError
from edgessd.pipeline.sources.modes import CameraMode, choose_mode


def mode(pixel_format: str, width: int, height: int, *rates: float) -> CameraMode:
    return CameraMode(pixel_format=pixel_format, width=width, height=height, rates=rates)


# Modes of a common webcam, from `v4l2-ctl --list-formats-ext`: large raw pictures are slow.
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
    ("requested", "chosen"),
    [
        ({}, ("YUYV", 640, 480)),  # raw, because it reaches the rate
        ({"width": 1280, "height": 720}, ("MJPG", 1280, 720)),  # raw would be 10 FPS
        ({"width": 1280, "height": 720, "fps": 10}, ("YUYV", 1280, 720)),
        ({"width": 1280, "height": 720, "fps": 5}, ("YUYV", 1280, 720)),
        ({"width": 640, "height": 480, "pixel_format": "mjpg"}, ("MJPG", 640, 480)),
        ({"width": 800, "height": 600}, ("MJPG", 1280, 720)),  # the smallest larger one
        ({"width": 4000, "height": 3000}, ("MJPG", 1920, 1080)),  # the largest one
        ({"width": 1920}, ("MJPG", 1920, 1080)),
        ({"height": 240}, ("YUYV", 320, 240)),
        ({"fps": 60}, ("YUYV", 640, 480)),  # the size is chosen first
    ],
)
def test_the_nearest_mode_is_chosen(
    requested: dict[str, object], chosen: tuple[str, int, int]
) -> None:
    found = choose_mode(WEBCAM, **requested)  # type: ignore[arg-type]
    assert (found.pixel_format, found.width, found.height) == chosen


def test_the_order_of_modes_does_not_matter() -> None:
    assert choose_mode(WEBCAM[::-1]) == choose_mode(WEBCAM)


def test_color_is_preferred_to_gray() -> None:
    assert (
        choose_mode((mode("GREY", 640, 480, 30), mode("MJPG", 640, 480, 30))).pixel_format == "MJPG"
    )
    assert choose_mode((mode("GREY", 640, 480, 30),)).pixel_format == "GREY"


def test_a_driver_s_29_97_counts_as_30() -> None:
    modes = (mode("YUYV", 640, 480, 29.97), mode("MJPG", 640, 480, 30))
    assert choose_mode(modes, fps=30).pixel_format == "YUYV"
    assert modes[0].nearest_rate(30) == 29.97


def test_of_two_equally_near_rates_the_higher_is_chosen() -> None:
    assert mode("YUYV", 1, 1, 20, 30).nearest_rate(25) == 30
    assert mode("YUYV", 1, 1).nearest_rate(25) is None


def test_a_format_that_the_camera_lacks_names_those_it_has() -> None:
    with pytest.raises(SourceError, match="no format NV12") as refusal:
        choose_mode(WEBCAM, pixel_format="NV12")
    assert refusal.value.found == "H264, MJPG, YUYV"
    with pytest.raises(SourceError, match="no picture format that can be used"):
        choose_mode((mode("H264", 640, 480, 30),))
