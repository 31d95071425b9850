"""Turn a BGR frame into a network's input, and boxes back into pixels of the frame.

There are two steps. `fit_image` resizes to the network's size and stays in uint8; `fill_tensor` turns
pixel values into the input's numbers. Each channel of a pixel has only 256 values, so the second step is
a table lookup, with one table per contract: a quantized input needs no float image. `preprocess_image`
does both, and writes pixels straight into the engine's buffer if the table is the identity.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgessd.core.arrays import FloatArray, ImageArray
from edgessd.core.boxes import clip_boxes
from edgessd.core.contract import Preprocess
from edgessd.core.errors import ConfigError, DataError
from edgessd.core.tensors import DType, QuantParams, TensorSpec, check_number_form

Tensor = NDArray[np.generic]

_SIGN_BIT = np.uint8(0x80)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageTransform:
    """Transform between pixels of a source image and fractions of the network's input.

    Attributes:
        source_width: Width of the source image in pixels.
        source_height: Height of the source image in pixels.
        left, top, width, height: Rectangle that the image occupies, in fractions of the input;
            (0, 0, 1, 1) if the image was stretched.
    """

    source_width: int
    source_height: int
    left: float = 0.0
    top: float = 0.0
    width: float = 1.0
    height: float = 1.0

    def to_source(self, boxes: FloatArray) -> FloatArray:
        """Turn (n, 4) xyxy boxes in fractions of the input into pixels, clipped to the source."""
        scale_x = self.source_width / self.width
        scale_y = self.source_height / self.height
        scale = np.array([scale_x, scale_y, scale_x, scale_y], np.float32)
        origin = np.array([self.left, self.top, self.left, self.top], np.float32)
        return clip_boxes((boxes - origin) * scale, self.source_width, self.source_height)

    def to_input(self, boxes: FloatArray) -> FloatArray:
        """Turn (n, 4) xyxy pixels of the source into fractions of the input; inverse of `to_source`."""
        scale_x = self.width / self.source_width
        scale_y = self.height / self.source_height
        scale = np.array([scale_x, scale_y, scale_x, scale_y], np.float32)
        origin = np.array([self.left, self.top, self.left, self.top], np.float32)
        fractions: FloatArray = boxes * scale + origin
        return fractions


def fit_image(
    image_bgr: ImageArray, spec: Preprocess, out: ImageArray | None = None
) -> tuple[ImageArray, ImageTransform]:
    """Resize an image to the network's input size, bilinearly, and put its channels in order.

    Args:
        image_bgr: (H, W, 3) uint8, any size.
        spec: The contract's preprocessing.
        out: (spec.height, spec.width, 3) uint8 to write into; made if absent.

    Returns:
        (spec.height, spec.width, 3) uint8 in `spec.color` order, and the transform from the source to it.

    Raises:
        DataError: The image isn't (H, W, 3) uint8 with at least one pixel.
    """
    import cv2

    _check_image(image_bgr)
    if out is None:
        out = np.empty((spec.height, spec.width, 3), np.uint8)
    swap = spec.color == "RGB"
    # Channels are swapped on the small image. The resized image then needs memory of its own: OpenCV
    # doesn't promise to convert in place.
    small = np.empty_like(out) if swap else out
    left, top, width, height = fitted_rectangle(image_bgr.shape[1], image_bgr.shape[0], spec)
    if (width, height) != (spec.width, spec.height):
        small[...] = spec.fill
    # A view of a wider image is a valid OpenCV matrix with a longer row step, so the resize writes into
    # it directly.
    cv2.resize(
        image_bgr,
        (width, height),
        dst=small[top : top + height, left : left + width],
        interpolation=cv2.INTER_LINEAR,
    )
    if swap:
        cv2.cvtColor(small, cv2.COLOR_BGR2RGB, dst=out)
    transform = ImageTransform(
        source_width=image_bgr.shape[1],
        source_height=image_bgr.shape[0],
        left=left / spec.width,
        top=top / spec.height,
        width=width / spec.width,
        height=height / spec.height,
    )
    return out, transform


def fitted_rectangle(
    source_width: int, source_height: int, spec: Preprocess
) -> tuple[int, int, int, int]:
    """Compute left, top, width and height, in input pixels, that a source of this size occupies."""
    if spec.resize == "stretch":
        return 0, 0, spec.width, spec.height
    ratio = min(spec.width / source_width, spec.height / source_height)
    width = min(spec.width, max(1, round(source_width * ratio)))
    height = min(spec.height, max(1, round(source_height * ratio)))
    return (spec.width - width) // 2, (spec.height - height) // 2, width, height


def fill_tensor(
    pixels: ImageArray, spec: Preprocess, tensor: TensorSpec, out: Tensor | None = None
) -> Tensor:
    """Turn fitted pixels into the engine's input numbers.

    Args:
        pixels: (spec.height, spec.width, 3) uint8 from `fit_image`.
        spec: The contract's preprocessing.
        tensor: The engine's input: (1, h, w, 3) NHWC or (1, 3, h, w) NCHW, float or quantized.
        out: Array of `tensor.shape` and dtype to write into; made if absent.

    Returns:
        Array of `tensor.shape` and dtype. A float input holds (pixel - mean) / std, a quantized one
        round(that / scale) + zero_point, saturated.

    Raises:
        ConfigError: The tensor doesn't fit `spec`.
    """
    check_input(spec, tensor)
    if out is None:
        out = np.empty(tensor.shape, tensor.numpy_dtype)
    kind = table_kind(spec, tensor)
    if tensor.layout == "NCHW":
        _fill_planes(pixels, spec, tensor, out)
    elif kind == "identity":
        np.copyto(out[0], pixels)
    elif kind == "flip_sign":
        np.bitwise_xor(pixels, _SIGN_BIT, out=out[0].view(np.uint8))
    else:
        _look_up(pixels, pixel_table(spec, tensor.dtype, tensor.quantization), out[0])
    return out


def preprocess_image(
    image_bgr: ImageArray, spec: Preprocess, tensor: TensorSpec, out: Tensor | None = None
) -> tuple[Tensor, ImageTransform]:
    """Fit an image and fill a tensor with it; pixels that already are the input aren't copied."""
    if out is None:
        out = np.empty(tensor.shape, tensor.numpy_dtype)
    if tensor.layout == "NHWC" and table_kind(spec, tensor) == "identity":
        check_input(spec, tensor)
        _, transform = fit_image(image_bgr, spec, out[0].view(np.uint8))
        return out, transform
    pixels, transform = fit_image(image_bgr, spec)
    return fill_tensor(pixels, spec, tensor, out), transform


@lru_cache(maxsize=32)
def pixel_table(spec: Preprocess, dtype: DType, quantization: QuantParams | None) -> Tensor:
    """Compute the input number of each pixel value: (256, 3) of `dtype`, channels in `spec.color` order."""
    pixels = np.arange(256, dtype=np.float64)[:, None]
    real = (pixels - np.array(spec.mean)) / np.array(spec.std)
    table: Tensor
    if quantization is None:
        table = real.astype(dtype)
        return table
    limits = np.iinfo(dtype)
    # Ties go to even, as in ONNX QuantizeLinear.
    integers = np.rint(real / quantization.scale) + quantization.zero_point
    table = np.clip(integers, limits.min, limits.max).astype(dtype)
    return table


@lru_cache(maxsize=32)
def table_kind(spec: Preprocess, tensor: TensorSpec) -> Literal["identity", "flip_sign", "table"]:
    """Tell if a pixel byte is the input byte (`identity`), with its top bit flipped, or by a table."""
    if tensor.dtype not in ("uint8", "int8"):
        return "table"
    stored = pixel_table(spec, tensor.dtype, tensor.quantization).view(np.uint8)
    pixels = np.arange(256, dtype=np.uint8)[:, None]
    if (stored == pixels).all():
        return "identity"
    if (stored == (pixels ^ _SIGN_BIT)).all():
        return "flip_sign"
    return "table"


@lru_cache(maxsize=32)
def check_input(spec: Preprocess, tensor: TensorSpec) -> None:
    """Check that `tensor` is an image input that `spec` can fill; raise ConfigError otherwise."""
    shapes = {
        "NHWC": (1, spec.height, spec.width, 3),
        "NCHW": (1, 3, spec.height, spec.width),
    }
    if tensor.layout not in shapes or tensor.shape != shapes[tensor.layout]:
        raise ConfigError(
            f"The input {tensor.name!r} doesn't fit the contract's preprocessing",
            expected=f"NHWC {shapes['NHWC']} or NCHW {shapes['NCHW']}",
            found=f"{tensor.layout} {tensor.shape}",
        )
    check_number_form(tensor)


def _check_image(image: ImageArray) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise DataError(
            "This isn't a color image",
            expected="uint8 pixels of shape (height, width, 3) in BGR order, at least one pixel",
            found=f"{image.dtype} of shape {image.shape}",
            fix="Read it with edgessd.core.images.read_image, or convert it with cv2.cvtColor",
        )


def _fill_planes(pixels: ImageArray, spec: Preprocess, tensor: TensorSpec, out: Tensor) -> None:
    """Fill an NCHW tensor, one contiguous plane a channel."""
    import cv2

    table = pixel_table(spec, tensor.dtype, tensor.quantization)
    for channel in range(3):
        plane = np.asarray(cv2.extractChannel(pixels, channel), np.uint8)
        _look_up(plane, table[:, channel], out[0, channel])


def _look_up(pixels: ImageArray, table: Tensor, out: Any) -> None:
    """Write table[pixel] into `out`; the table is (256,) for all channels, or (256, 3)."""
    import cv2

    if table.ndim == 2 and (table == table[:, :1]).all():
        table = table[:, 0]  # one table for all channels takes half the time
    if table.dtype == np.float16:  # OpenCV has no float16 tables
        np.copyto(out, table[pixels] if table.ndim == 1 else table[pixels, np.arange(3)])
        return
    rows: Any = np.ascontiguousarray(table).reshape(1, 256, -1)
    cv2.LUT(pixels, rows, dst=out)
