"""Sample sheets: detections of the current model in a few photos, with the ground truth."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import nn

from edgessd.core.detections import Detections
from edgessd.core.drawing import WHITE, class_color, draw_box
from edgessd.core.errors import DataError
from edgessd.core.files import replacing
from edgessd.metrics.ground_truth import LabeledImage
from edgessd.train.evaluate import Evaluator

_PHOTOS, _COLUMNS = 8, 4
_TILE = 360
_MARGIN, _CAPTION = 8, 22
_SHOWN_SCORE = 0.3


def draw_sheet(evaluator: Evaluator, model: nn.Module, path: Path) -> None:
    """Draw up to eight evenly spaced photos: ground truth in thin white, detections in class colors."""
    count = len(evaluator.photos)
    indices = sorted({round(position) for position in np.linspace(0, count - 1, _PHOTOS)})
    tiles = []
    for index in indices:
        try:
            pixels = evaluator.photos.read(index)
        except DataError:
            # The evaluation has already reported and counted it.
            continue
        found = evaluator.detect(model, [index])[0]
        tiles.append(draw_tile(pixels, evaluator.photos.images[index], found))
    sheet = _arranged(tiles)
    with replacing(path) as temporary:
        if not cv2.imwrite(str(temporary), sheet):
            raise OSError(f"{path} could not be written")


def draw_tile(
    pixels: NDArray[np.uint8], truth: LabeledImage, found: Detections
) -> NDArray[np.uint8]:
    """Draw one photo, its longer side `_TILE` pixels, with boxes and a caption, as BGR."""
    height, width = pixels.shape[:2]
    ratio = _TILE / max(height, width)
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if ratio < 1 else cv2.INTER_CUBIC)
    tile = np.full((_TILE + _CAPTION, _TILE, 3), 32, np.uint8)
    left, top = (_TILE - size[0]) // 2, (_TILE - size[1]) // 2
    view = tile[top : top + size[1], left : left + size[0]]
    view[:] = small
    for box in truth.boxes * ratio:
        draw_box(view, box, WHITE, width=1)
    shown = found[found.scores > _SHOWN_SCORE]
    for box, score, class_id in zip(
        shown.boxes * ratio, shown.scores, shown.class_ids, strict=True
    ):
        caption = f"{shown.labels[class_id]} {score:.2f}"
        draw_box(view, box, class_color(int(class_id)), caption, width=2)
    caption = f"{truth.path.name}  {len(shown)} found, {len(truth.boxes)} true"
    _text(tile, caption[:52], (4, _TILE + 15), (220, 220, 220))
    return tile


def _arranged(tiles: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    columns = min(_COLUMNS, max(len(tiles), 1))
    rows = max(1, -(-len(tiles) // columns))
    step_x, step_y = _TILE + _MARGIN, _TILE + _CAPTION + _MARGIN
    sheet = np.full((rows * step_y + _MARGIN, columns * step_x + _MARGIN, 3), 18, np.uint8)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        top, left = _MARGIN + row * step_y, _MARGIN + column * step_x
        sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return sheet


def _text(
    image: NDArray[np.uint8], text: str, origin: tuple[int, int], color: tuple[int, int, int]
) -> None:
    cv2.putText(image, text, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.34, color, 1, cv2.LINE_AA)
