"""SSD's data augmentation on uint8 images: one affine resampling, then photometric distortion.

Patch, zoom-out, flips and the resize to the network's input are composed into one affine map, so that
each image is resampled once. Sections 2.2 and 3.6 of the SSD paper (arXiv:1512.02325).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edgessd.core.arrays import FloatArray
from edgessd.core.boxes import iou_matrix
from edgessd.core.contract import Preprocess
from edgessd.train.config import AugmentSettings

_CROP_IOUS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)
_CROP_TRIALS = 20
_MIN_SIDE_PIXELS = 2.0
# OpenCV's coordinates start at the center of the first pixel, those of boxes at its corner.
_TO_CORNER = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]], np.float64)
_TO_INDEX = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]], np.float64)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """An image at the network's input size, with its ground truth.

    Attributes:
        image: (height, width, 3) uint8, in the contract's color order.
        boxes: (n, 4) float32 xyxy in fractions of the input.
        class_ids: (n,) int64 indices into the labels.
        ignore: (n,) bool; true for boxes that are neither positive nor background.
    """

    image: NDArray[np.uint8]
    boxes: FloatArray
    class_ids: NDArray[np.int64]
    ignore: NDArray[np.bool_]


def augment(
    image_bgr: NDArray[np.uint8],
    boxes: FloatArray,
    class_ids: NDArray[np.int64],
    ignore: NDArray[np.bool_],
    *,
    preprocess: Preprocess,
    settings: AugmentSettings,
    rng: np.random.Generator,
) -> Sample:
    """Make one augmented sample.

    Args:
        image_bgr: (H, W, 3) uint8.
        boxes: (n, 4) float32 xyxy in pixels of `image_bgr`.
        class_ids: (n,) int64 indices into the labels.
        ignore: (n,) bool; true for boxes that are neither positive nor background.
        preprocess: Size, resize rule and color order of the network's input.
        settings: Probabilities and strengths of the augmentations.
        rng: Source of all random numbers; the same state gives the same sample.
    """
    height, width = image_bgr.shape[:2]
    region = np.array([0, 0, width, height], np.float32)
    if rng.random() < settings.zoom_out:
        region = _zoomed_out(width, height, settings.zoom_out_max, rng)
    elif rng.random() < settings.crop:
        region = _cropped(width, height, boxes[~ignore], settings.crop_min_side, rng)
    matrix = _region_to_input(region, preprocess)
    matrix = _flipped(matrix, preprocess, settings, rng)
    fill = int(preprocess.fill)
    warped = cv2.warpAffine(
        image_bgr,
        (_TO_INDEX @ matrix @ _TO_CORNER)[:2],
        (preprocess.width, preprocess.height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(fill, fill, fill),
    )
    image = _distorted(np.asarray(warped, np.uint8), settings, rng)
    if preprocess.color == "RGB":
        image = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
    sample = Sample(image=image, boxes=boxes, class_ids=class_ids, ignore=ignore)
    return _place_boxes(sample, matrix, preprocess)


def _zoomed_out(width: int, height: int, largest: float, rng: np.random.Generator) -> FloatArray:
    ratio = rng.uniform(1, largest)
    left = rng.uniform(0, width * (ratio - 1))
    top = rng.uniform(0, height * (ratio - 1))
    return np.array([-left, -top, width * ratio - left, height * ratio - top], np.float32)


def _cropped(
    width: int, height: int, boxes: FloatArray, min_side: float, rng: np.random.Generator
) -> FloatArray:
    """Draw a patch that contains a box's center and reaches the drawn IoU with a box.

    Returns:
        (4,) xyxy in pixels; the whole image if no patch is found.
    """
    whole = np.array([0, 0, width, height], np.float32)
    min_iou = _CROP_IOUS[rng.integers(len(_CROP_IOUS))]
    for _ in range(_CROP_TRIALS):
        side_x, side_y = rng.uniform(min_side, 1, size=2)
        if not 0.5 <= side_x / side_y <= 2:
            continue
        left, top = rng.uniform(0, 1 - side_x), rng.uniform(0, 1 - side_y)
        patch = np.array([left, top, left + side_x, top + side_y], np.float32)
        patch *= np.array([width, height, width, height], np.float32)
        if len(boxes) == 0:
            return patch
        if _centers_inside(boxes, patch).any() and iou_matrix(boxes, patch[None]).max() >= min_iou:
            return patch
    return whole


def _region_to_input(region: FloatArray, preprocess: Preprocess) -> NDArray[np.float64]:
    """Make the 3x3 affine map from source pixels to input pixels, at pixel corners."""
    span_x, span_y = region[2] - region[0], region[3] - region[1]
    scale_x, scale_y = preprocess.width / span_x, preprocess.height / span_y
    left = top = 0.0
    if preprocess.resize == "letterbox":
        scale_x = scale_y = min(scale_x, scale_y)
        left = (preprocess.width - span_x * scale_x) / 2
        top = (preprocess.height - span_y * scale_y) / 2
    return np.array(
        [
            [scale_x, 0, left - region[0] * scale_x],
            [0, scale_y, top - region[1] * scale_y],
            [0, 0, 1],
        ],
        np.float64,
    )


def _flipped(
    matrix: NDArray[np.float64],
    preprocess: Preprocess,
    settings: AugmentSettings,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    width, height = preprocess.width, preprocess.height
    draws = rng.random(3)
    if draws[0] < settings.transpose:
        swap = np.array([[0, width / height, 0], [height / width, 0, 0], [0, 0, 1]], np.float64)
        matrix = swap @ matrix
    if draws[1] < settings.flip_horizontal:
        matrix = np.array([[-1, 0, width], [0, 1, 0], [0, 0, 1]], np.float64) @ matrix
    if draws[2] < settings.flip_vertical:
        matrix = np.array([[1, 0, 0], [0, -1, height], [0, 0, 1]], np.float64) @ matrix
    return matrix


def _place_boxes(sample: Sample, matrix: NDArray[np.float64], preprocess: Preprocess) -> Sample:
    """Map the boxes as the image was mapped.

    A box isn't learned if its center lies outside of the input or one of its sides is shorter than
    two pixels. Its visible part is marked as ignored, so that it isn't learned as background either.
    """
    boxes = sample.boxes
    if len(boxes) == 0:
        return sample
    linear, shift = matrix[:2, :2], matrix[:2, 2]
    first = boxes[:, :2] @ linear.T + shift
    second = boxes[:, 2:] @ linear.T + shift
    size = np.array([preprocess.width, preprocess.height], np.float64)
    corners = np.concatenate([np.minimum(first, second), np.maximum(first, second)], axis=1)
    centers = (first + second) / 2
    clipped = np.clip(corners, 0, np.tile(size, 2))
    sides = clipped[:, 2:] - clipped[:, :2]
    learned = ((centers >= 0) & (centers < size)).all(axis=1) & (sides >= _MIN_SIDE_PIXELS).all(
        axis=1
    )
    seen = (sides > 0).all(axis=1)
    return replace(
        sample,
        boxes=(clipped[seen] / np.tile(size, 2)).astype(np.float32),
        class_ids=sample.class_ids[seen],
        ignore=(sample.ignore | ~learned)[seen],
    )


def _centers_inside(boxes: FloatArray, patch: FloatArray) -> NDArray[np.bool_]:
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside: NDArray[np.bool_] = np.all((centers > patch[:2]) & (centers < patch[2:]), axis=1)
    return inside


def _distorted(
    image: NDArray[np.uint8], settings: AugmentSettings, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Change brightness and contrast, hue and saturation, blur and noise, each with its probability.

    Colors go through tables of 256 entries, which cost about a millisecond at 300x300.
    """
    wanted = rng.random(3) < settings.photometric
    levels = np.arange(256, dtype=np.float32)
    if wanted[0]:
        gain = 1 + rng.uniform(-settings.contrast, settings.contrast)
        offset = 255 * rng.uniform(-settings.brightness, settings.brightness)
        table = np.clip((levels - 128) * gain + 128 + offset, 0, 255).astype(np.uint8)
        image = np.asarray(cv2.LUT(image, table), np.uint8)
    if wanted[1] and (settings.hue or settings.saturation):
        # OpenCV's 8-bit hue counts half degrees, 0 to 179.
        turn = round(rng.uniform(-settings.hue, settings.hue) / 2)
        gain = 1 + rng.uniform(-settings.saturation, settings.saturation)
        tables = np.stack(
            [(levels + turn) % 180, np.clip(levels * gain, 0, 255), levels], axis=-1
        ).astype(np.uint8)
        hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
        turned = np.asarray(cv2.LUT(hsv, tables[None]), np.uint8)
        image = np.asarray(cv2.cvtColor(turned, cv2.COLOR_HSV2BGR), np.uint8)
    if rng.random() < settings.blur:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.2)), np.uint8)
    if settings.noise and wanted[2]:
        spread = np.float32(rng.uniform(0, settings.noise))
        noise = rng.standard_normal(image.shape, np.float32) * spread
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    return image
