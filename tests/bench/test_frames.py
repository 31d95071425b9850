"""Frames in memory for the bench."""

from __future__ import annotations

import numpy as np

from edgessd.bench.frames import LoopSource, pattern_image


def test_images_are_repeated_in_turn_up_to_the_number_of_frames() -> None:
    images = [np.full((4, 6, 3), value, np.uint8) for value in (10, 20)]
    source = LoopSource(images, frames=5, name="two grays")
    frames = list(source)
    assert [frame.image[0, 0, 0] for frame in frames] == [10, 20, 10, 20, 10]
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
    assert {frame.source for frame in frames} == {"two grays"}
    assert source.length == 5


def test_the_pattern_has_its_size_and_differs_from_place_to_place() -> None:
    image = pattern_image(80, 60)
    assert (image.shape, image.dtype) == ((60, 80, 3), np.uint8)
    assert image.std(axis=(0, 1)).min() > 10
