"""Make random codes of the four classes, as matrices of dark and light modules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from types import ModuleType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgessd.core.errors import DataError

LABELS = ("qrcode", "barcode", "datamatrix", "aruco")
QRCODE, BARCODE, DATAMATRIX, ARUCO = range(4)

_ALPHANUMERIC = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_LOWER = "abcdefghijklmnopqrstuvwxyz0123456789"
_DIGITS = "0123456789"
_ARUCO_DICTIONARIES = (
    ("DICT_4X4_1000", 4, 1000),
    ("DICT_5X5_1000", 5, 1000),
    ("DICT_6X6_1000", 6, 1000),
    ("DICT_7X7_1000", 7, 1000),
    ("DICT_ARUCO_ORIGINAL", 5, 1024),
    ("DICT_APRILTAG_16h5", 4, 30),
    ("DICT_APRILTAG_25h9", 5, 35),
    ("DICT_APRILTAG_36h10", 6, 2320),
    ("DICT_APRILTAG_36h11", 6, 587),
)
_DATAMATRIX_SQUARE_VERSIONS = tuple(range(1, 16))  # 10x10 to 52x52 modules
_DATAMATRIX_RECTANGULAR_VERSIONS = tuple(range(25, 31))  # 8x18 to 16x48


@dataclass(frozen=True, kw_only=True, slots=True)
class Code:
    """A code before printing.

    Attributes:
        class_id: Index into `LABELS`.
        kind: Symbology or marker dictionary, such as "EAN13" or "DICT_4X4_1000".
        text: Content of the code; the number of an aruco marker.
        dark: (rows, columns) bool, True for a dark module, without quiet zone. A 1-D code has many
            equal rows; EAN and UPC have longer guard bars in their last rows.
        quiet_zone: Width of the quiet zone that the symbology requires, in modules.
        linear: True for a 1-D code, whose height is free.
    """

    class_id: int
    kind: str
    text: str
    dark: NDArray[np.bool_]
    quiet_zone: int
    linear: bool = False


def random_code(rng: np.random.Generator, class_id: int) -> Code:
    """Make a code of one class with random content, symbology and size."""
    return _MAKERS[class_id](rng)


def encode(kind: str, text: str, **options: Any) -> NDArray[np.bool_]:
    """Encode a text with zxing-cpp.

    Args:
        kind: Name of a symbology in `zxingcpp.BarcodeFormat`.
        text: Content of the code.
        options: Options of zxing-cpp, such as `ec_level="H"` or `version=5`.

    Returns:
        (rows, columns) bool, True for a dark module, without quiet zone.

    Raises:
        DataError: zxing-cpp isn't installed.
    """
    zxingcpp = _zxingcpp()
    barcode = zxingcpp.create_barcode(text, getattr(zxingcpp.BarcodeFormat, kind), **options)
    return np.asarray(barcode.to_image(scale=1, add_quiet_zones=False)) < 128


@lru_cache(maxsize=1)
def _zxingcpp() -> ModuleType:
    try:
        import zxingcpp
    except ImportError as error:
        raise DataError(
            "Generating printed codes needs the library zxing-cpp, which isn't installed",
            fix="pip install zxing-cpp",
        ) from error
    module: ModuleType = zxingcpp
    return module


def _string(rng: np.random.Generator, alphabet: str, length: int) -> str:
    return "".join(alphabet[i] for i in rng.integers(0, len(alphabet), length))


def _qrcode(rng: np.random.Generator) -> Code:
    kind = rng.random()
    if kind < 0.04:
        text = _string(rng, _DIGITS, int(rng.integers(3, 12)))
        return Code(
            class_id=QRCODE,
            kind="MicroQRCode",
            text=text,
            dark=encode("MicroQRCode", text),
            quiet_zone=2,
        )
    if kind < 0.55:
        text = "https://" + _string(rng, _LOWER, int(rng.integers(4, 16))) + ".com/"
        text += _string(rng, _LOWER, int(rng.integers(0, 40)))
    elif kind < 0.75:
        text = _string(rng, _ALPHANUMERIC, int(rng.integers(4, 60)))
    elif kind < 0.9:
        text = "WIFI:T:WPA;S:" + _string(rng, _LOWER, 8) + ";P:" + _string(rng, _LOWER, 12) + ";;"
    else:
        text = "BEGIN:VCARD\n" + _string(rng, _LOWER, int(rng.integers(80, 320)))
    dark = encode("QRCode", text, ec_level="LMQH"[int(rng.integers(4))])
    return Code(class_id=QRCODE, kind="QRCode", text=text, dark=dark, quiet_zone=4)


def _barcode(rng: np.random.Generator) -> Code:
    kind = str(
        rng.choice(
            ["EAN13", "EAN8", "UPCA", "UPCE", "Code128", "Code39", "Code93", "ITF", "Codabar"],
            p=[0.3, 0.06, 0.12, 0.04, 0.24, 0.1, 0.03, 0.07, 0.04],
        )
    )
    if kind in ("EAN13", "EAN8", "UPCA"):
        text = _string(rng, _DIGITS, {"EAN13": 12, "EAN8": 7, "UPCA": 11}[kind])
    elif kind == "UPCE":
        # Digits below 3 would be subject to zero suppression (ISO/IEC 15420, 4.3.3).
        text = "0" + _string(rng, "3456789", 6)
    elif kind == "ITF":
        text = _string(rng, _DIGITS, 2 * int(rng.integers(3, 9)))
    elif kind == "Codabar":
        text = "A" + _string(rng, _DIGITS, int(rng.integers(5, 13))) + "B"
    elif kind == "Code128" and rng.random() < 0.3:
        text = _string(rng, _DIGITS, int(rng.integers(8, 22)))
    else:
        longest = 16 if kind == "Code128" else 10
        text = _string(rng, _ALPHANUMERIC, int(rng.integers(4, longest)))
    return Code(
        class_id=BARCODE, kind=kind, text=text, dark=encode(kind, text), quiet_zone=9, linear=True
    )


def _datamatrix(rng: np.random.Generator) -> Code:
    rectangular = rng.random() < 0.18
    if rectangular:
        version = int(rng.choice(_DATAMATRIX_RECTANGULAR_VERSIONS))
        text = _string(rng, _DIGITS, int(rng.integers(4, 8)))
    else:
        # Small symbols are more frequent, because parts and letters have them.
        weights = 0.88 ** np.arange(len(_DATAMATRIX_SQUARE_VERSIONS))
        version = int(rng.choice(_DATAMATRIX_SQUARE_VERSIONS, p=weights / weights.sum()))
        # The text fills the symbol, because an almost empty symbol is mostly regular padding.
        capacity = (3, 5, 8, 12, 18, 22, 30, 36, 44, 62, 86, 114, 144, 174, 204)[version - 1]
        text = _string(rng, _DIGITS, int(rng.integers(max(1, capacity), 2 * capacity)))
    return Code(
        class_id=DATAMATRIX,
        kind="DataMatrix",
        text=text,
        dark=encode("DataMatrix", text, version=version),
        quiet_zone=1,
    )


def _aruco(rng: np.random.Generator) -> Code:
    name, bits, count = _ARUCO_DICTIONARIES[int(rng.integers(len(_ARUCO_DICTIONARIES)))]
    # Low numbers are more frequent, because people print them more often.
    number = int(count * rng.random() ** 2)
    border = 2 if rng.random() < 0.06 else 1
    image = cv2.aruco.generateImageMarker(
        _aruco_dictionary(name), number, bits + 2 * border, borderBits=border
    )
    return Code(class_id=ARUCO, kind=name, text=str(number), dark=image < 128, quiet_zone=1)


@cache
def _aruco_dictionary(name: str) -> Any:
    return cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, name))


_MAKERS: tuple[Callable[[np.random.Generator], Code], ...] = (
    _qrcode,
    _barcode,
    _datamatrix,
    _aruco,
)
