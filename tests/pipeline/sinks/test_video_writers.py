"""A constant frame rate for pictures that come at any time."""

from __future__ import annotations

import numpy as np

from edgessd.pipeline.sinks.video_writers import OpenCvWriter


class Tape:
    """Notes the gray value of each picture that is written."""

    def __init__(self) -> None:
        self.values: list[int] = []
        self.released = False

    def write(self, image: np.ndarray) -> None:
        self.values.append(int(image[0, 0, 0]))

    def release(self) -> None:
        self.released = True


def _picture(value: int) -> np.ndarray:
    return np.full((2, 2, 3), value, np.uint8)


def test_a_picture_is_repeated_until_the_next_one() -> None:
    tape = Tape()
    writer = OpenCvWriter(tape, "MJPG", fps=10)
    for value, seconds in ((1, 0.0), (2, 0.3), (3, 0.4)):
        writer.write(_picture(value), seconds)
    writer.close()
    assert tape.values == [1, 1, 1, 2, 3]
    assert tape.released


def test_the_newest_of_several_pictures_for_one_frame_is_written() -> None:
    tape = Tape()
    writer = OpenCvWriter(tape, "MJPG", fps=10)
    for value, seconds in ((1, 0.0), (2, 0.01), (3, 0.02), (4, 0.1)):
        writer.write(_picture(value), seconds)
    writer.close()
    writer.close()
    assert tape.values == [3, 4]
