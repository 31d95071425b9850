"""List image files, read their sizes from headers, and decode complete images.

The EXIF orientation is applied to pixels and sizes. OpenCV decodes a truncated JPEG, fills the rest with
gray and reports it on stderr only, so the file's structure is checked before it is decoded.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgessd.core.arrays import ImageArray
from edgessd.core.errors import DataError

if TYPE_CHECKING:
    import PIL.Image

"""(H, W, 3) BGR pixels."""

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})

# OpenCV decodes up to 2^30 pixels; Pillow's own limit would refuse an aerial photo of 14k x 14k.
_PIXEL_LIMIT = 1 << 30
_EXIF_ORIENTATION = 0x0112
_JPEG_END = b"\xff\xd9"


class ImageHeader(NamedTuple):
    """Size and orientation from an image file's header.

    Attributes:
        width: Pixels, after the EXIF orientation is applied.
        height: Pixels, after the EXIF orientation is applied.
        orientation: EXIF orientation 1 to 8 (1: upright). 5 to 8 swap width and height.
    """

    width: int
    height: int
    orientation: int


def list_images(folder: Path) -> list[Path]:
    """List all image files in a folder and its subfolders, sorted by path; skip hidden ones.

    Raises:
        DataError: There is no such folder.
    """
    if not folder.is_dir():
        raise DataError(
            f"There is no folder {folder}",
            expected="a folder with images",
            found="a file" if folder.exists() else "nothing",
        )
    found = (path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    return sorted(
        path
        for path in found
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def read_header(path: Path) -> ImageHeader:
    """Read size and orientation from the file's header, without decoding pixels (about 0.1 ms).

    Raises:
        DataError: The file is missing or isn't an image.
    """
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = _PIXEL_LIMIT
    try:
        with Image.open(path) as image:
            width, height = _stored_size(image)
            orientation = int(image.getexif().get(_EXIF_ORIENTATION, 1) or 1)
    except FileNotFoundError as error:
        raise DataError(f"There is no image {path}") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _broken(path, f"no readable image header ({error})") from error
    if 5 <= orientation <= 8:
        width, height = height, width
    return ImageHeader(width, height, orientation)


def _stored_size(image: PIL.Image.Image) -> tuple[int, int]:
    """Return width and height before rotation; newer versions of Pillow rotate a TIFF on opening."""
    if image.format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]
        return int(tags[256]), int(tags[257])
    return image.size


def read_image(path: Path) -> ImageArray:
    """Decode an image file as (height, width, 3) uint8 BGR, with its EXIF orientation applied.

    Gray, 16-bit and transparent images become 8-bit BGR, as OpenCV's IMREAD_COLOR does.

    Raises:
        DataError: The file is missing, isn't an image, or ends before its pixels do.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"Cannot read the image {path}: {error.strerror or error}") from error
    return decode_image(content, path)


def decode_image(content: bytes, path: Path) -> ImageArray:
    """Decode the bytes of an image file like `read_image`; `path` only names the file in errors.

    Raises:
        DataError: The same cases as in `read_image`.
    """
    import cv2

    if not content:
        raise _broken(path, "an empty file")
    if content.startswith(b"\xff\xd8") and not _jpeg_ends(content):
        content = _with_end(content, path)
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise _broken(path, f"something OpenCV cannot decode ({error.err})") from error
    if image is None:
        raise _broken(path, f"{len(content)} bytes that don't decode to an image")
    return np.asarray(image, np.uint8)


def _jpeg_ends(content: bytes) -> bool:
    """Check for an end-of-image marker after the first scan.

    Segments before the scan are skipped by their length, because an EXIF thumbnail in them is a JPEG
    with its own end marker. Inside a scan 0xFF is followed by 0x00 or a restart marker, so FF D9
    found there is the real end (ITU-T T.81, B.1.1).
    """
    position = 2
    while position + 4 <= len(content):
        if content[position] != 0xFF:
            return False
        marker = content[position + 1]
        if marker == 0xFF:
            position += 1
        elif marker == 0xDA:
            return content.find(_JPEG_END, position) >= 0
        elif marker == 0x01 or 0xD0 <= marker <= 0xD7:
            position += 2
        else:
            position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
    return False


def _with_end(content: bytes, path: Path) -> bytes:
    """Append the end marker that a JPEG lacks, if all of its pixels are there.

    Some cameras leave the marker out. Decoders compute missing pixels from the bytes that follow, so an
    image is complete if it decodes to the same pixels with two different endings.

    Raises:
        DataError: The pixels differ, or nothing decodes.
    """
    import io

    from PIL import Image

    Image.MAX_IMAGE_PIXELS = _PIXEL_LIMIT
    try:
        pictures = []
        for ending in (_JPEG_END, b"\x55" * 256 + _JPEG_END):
            with Image.open(io.BytesIO(content + ending)) as image:
                pictures.append(image.tobytes())
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _broken(path, f"{len(content)} bytes of JPEG that end too early ({error})") from error
    if pictures[0] != pictures[1]:
        raise _broken(path, f"{len(content)} bytes of JPEG that end too early")
    return content + _JPEG_END


def _broken(path: Path, found: str) -> DataError:
    return DataError(
        f"The image {path} is broken",
        expected="a complete JPEG, PNG, BMP, WebP or TIFF",
        found=found,
        fix="Copy it again from its source, or delete it together with its annotation",
    )
