"""Encode a picture as a JPEG."""

from __future__ import annotations

from edgessd.core.arrays import ImageArray


def encode_jpeg(image: ImageArray, quality: int) -> bytes:
    """Encode a BGR picture.

    Args:
        image: (height, width, 3) uint8, at most 65,500 pixels a side.
        quality: 0 to 100.

    Raises:
        OSError: The picture can't be encoded, for example because it is too large.
    """
    import cv2

    done, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise OSError(f"no JPEG can hold a picture of {image.shape[1]}x{image.shape[0]} pixels")
    return bytes(jpeg)
