"""Draw the time into a picture and read it back: a clock that survives any video codec.

A row of squares, black and white, holds the milliseconds of this machine's monotonic clock and a checksum.
"""

from __future__ import annotations

import time

import numpy as np

SQUARE = 8
_TIME_BITS, _CHECK_BITS = 32, 8
WIDTH = SQUARE * (_TIME_BITS + _CHECK_BITS)
_DAY = 1 << _TIME_BITS


def milliseconds() -> int:
    """Return milliseconds of the monotonic clock, which all programs of a machine share."""
    return time.monotonic_ns() // 1_000_000 % _DAY


def draw(image: np.ndarray, at: int) -> None:
    """Write milliseconds into the top row of squares of a (height, width, channels) image."""
    word = at | _check(at) << _TIME_BITS
    for bit in range(_TIME_BITS + _CHECK_BITS):
        image[:SQUARE, SQUARE * bit : SQUARE * (bit + 1)] = 235 if word >> bit & 1 else 20


def read(image: np.ndarray) -> int | None:
    """Return the milliseconds in an image, or None if a codec damaged them."""
    middle = SQUARE // 2
    row = image[middle - 1 : middle + 1, middle:WIDTH:SQUARE].mean(axis=(0, 2))
    word = sum(1 << bit for bit, value in enumerate(row) if value > 128)
    at = word % _DAY
    return at if word >> _TIME_BITS == _check(at) else None


def age(at: int) -> float:
    """Return the seconds since a time."""
    return (milliseconds() - at) % _DAY / 1000


def _check(at: int) -> int:
    return (at * 2654435761 >> 13) & ((1 << _CHECK_BITS) - 1)
