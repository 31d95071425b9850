"""Images are read once, and unreadable ones are left out and named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from block_scenes import write_coco

from edgessd.core.errors import DataError
from edgessd.data.dataset import load_dataset
from edgessd.train.photos import Photos


@pytest.mark.parametrize("cache_mb", [0, 16], ids=["from disk", "from memory"])
def test_images_are_equal_from_disk_and_from_memory(blocks: Path, cache_mb: int):
    images = load_dataset(blocks).split("train")
    reads: list[None] = []
    photos = Photos(images, cache_mb=cache_mb, progress=lambda: reads.append(None))
    assert len(photos) == 12
    assert len(reads) == (12 if cache_mb else 0)
    reference = Photos(images, cache_mb=16)
    for index in range(12):
        np.testing.assert_array_equal(photos.read(index), reference.read(index))


def test_images_that_break_after_loading_are_named(tmp_path: Path):
    data = write_coco(tmp_path / "data", {"train": range(4)})
    images = load_dataset(data).split("all")
    victim = data / "images" / "0002.png"
    victim.write_bytes(victim.read_bytes()[:9000])
    photos = Photos(images, cache_mb=16)
    assert [image.path.name for image in photos.images] == ["0000.png", "0001.png", "0003.png"]
    assert len(photos.broken) == 1
    assert "0002.png" in photos.broken[0]


def test_no_readable_image_is_refused(tmp_path: Path):
    data = write_coco(tmp_path / "data", {"train": range(2)})
    images = load_dataset(data).split("all")
    for image in images:
        image.path.write_bytes(b"")
    with pytest.raises(DataError, match="None of the images can be read"):
        Photos(images, cache_mb=16)
