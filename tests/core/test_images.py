"""Image files: unusual complete ones are read, broken ones are refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from edgessd.core.errors import DataError
from edgessd.core.images import list_images, read_header, read_image

PICTURE = np.zeros((40, 60, 3), np.uint8)
PICTURE[:20, :30] = 255  # the corner that tells how a picture is turned


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".bmp"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.97])
def test_refuses_a_file_that_ends_early(tmp_path: Path, suffix: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    content = cv2.imencode(suffix, noise)[1].tobytes()
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(content)
    assert read_image(path).shape == (48, 64, 3)
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=f"cut{suffix}"):
        read_image(path)


def test_refuses_a_truncated_jpeg_whose_thumbnail_is_whole(tmp_path: Path) -> None:
    thumbnail = cv2.imencode(".jpg", PICTURE)[1].tobytes()
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    exif = Image.Exif()
    exif[0x010E] = thumbnail.decode("latin-1")
    path = tmp_path / "phone.jpg"
    Image.fromarray(noise).save(path, exif=exif, progressive=True)
    content = path.read_bytes()
    assert content.count(b"\xff\xd8\xff") >= 1
    read_image(path)
    path.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(DataError, match=r"phone\.jpg is broken.*end too early"):
        read_image(path)


def test_takes_a_complete_jpeg_without_an_end_marker(tmp_path: Path) -> None:
    content = cv2.imencode(".jpg", PICTURE)[1].tobytes()
    path = tmp_path / "camera.jpg"
    path.write_bytes(content[:-2])
    np.testing.assert_array_equal(
        read_image(path), cv2.imdecode(np.frombuffer(content, np.uint8), 1)
    )


def test_takes_a_jpeg_with_bytes_after_its_end(tmp_path: Path) -> None:
    path = tmp_path / "padded.jpg"
    path.write_bytes(cv2.imencode(".jpg", PICTURE)[1].tobytes() + b"\0" * 100)
    assert read_image(path).shape == PICTURE.shape


def test_refuses_text_named_jpg(tmp_path: Path) -> None:
    path = tmp_path / "note.jpg"
    path.write_text("not a picture")
    with pytest.raises(DataError, match=r"note\.jpg is broken"):
        read_image(path)
    with pytest.raises(DataError, match=r"note\.jpg is broken"):
        read_header(path)


def test_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.png"):
        read_image(tmp_path / "gone.png")
    with pytest.raises(DataError, match=r"There is no image .*gone\.png"):
        read_header(tmp_path / "gone.png")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize(
    ("orientation", "corner"), [(1, 0), (2, 1), (3, 3), (4, 2), (5, 0), (6, 1), (7, 3), (8, 2)]
)
def test_header_and_pixels_agree_on_exif(
    tmp_path: Path, suffix: str, orientation: int, corner: int
) -> None:
    """`corner` counts top left, top right, bottom left, bottom right, as EXIF 2.32 defines them."""
    path = tmp_path / f"turned{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    if suffix == ".tif":
        Image.fromarray(PICTURE).save(path, tiffinfo={0x0112: orientation})
    else:
        Image.fromarray(PICTURE).save(path, exif=exif)
    header, pixels = read_header(path), read_image(path)
    assert (header.height, header.width) == pixels.shape[:2]
    assert header.width == (40 if orientation >= 5 else 60)
    corners = [pixels[y, x, 0] > 128 for y in (2, -3) for x in (2, -3)]
    assert corners == [index == corner for index in range(4)]


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "I;16", "CMYK"])
def test_gives_three_channels_of_8_bits(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("odd.jpg" if mode == "CMYK" else "odd.png")
    Image.new(mode, (20, 10), 0 if mode != "CMYK" else (0, 0, 0, 0)).save(path)
    pixels = read_image(path)
    assert pixels.shape == (10, 20, 3)
    assert pixels.dtype == np.uint8


def test_reads_a_hundred_megapixels(tmp_path: Path) -> None:
    path = tmp_path / "aerial.png"
    Image.new("L", (10_000, 10_000), 7).save(path, compress_level=1)
    assert read_header(path)[:2] == (10_000, 10_000)
    pixels = read_image(path)
    assert pixels.shape == (10_000, 10_000, 3)
    assert pixels[9_999, 9_999].tolist() == [7, 7, 7]


def test_lists_images_sorted_without_hidden_ones(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "sub/c.webp", ".hidden.jpg", ".trash/d.jpg", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    names = [str(path.relative_to(tmp_path)) for path in list_images(tmp_path)]
    assert names == ["a.png", "b.JPG", "sub/c.webp"]
    with pytest.raises(DataError, match="There is no folder"):
        list_images(tmp_path / "none")
