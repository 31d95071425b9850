"""Ground truth of an image: the record that datasets hold and metrics compare with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgessd.core.arrays import FloatArray


class TrueBoxes(Protocol):
    """Part of an image's ground truth that metrics read; `LabeledImage` fulfills it.

    Attributes:
        boxes: (n, 4) float32 xyxy in pixels.
        class_ids: (n,) int64.
        ignore: (n,) bool; True for a box that counts neither as a hit nor as a miss.
    """

    @property
    def boxes(self) -> FloatArray: ...
    @property
    def class_ids(self) -> NDArray[np.int64]: ...
    @property
    def ignore(self) -> NDArray[np.bool_]: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class LabeledImage:
    """One image and its ground truth.

    Attributes:
        path: Image file.
        width: Width in pixels, from the annotation or the file's header.
        height: Height in pixels.
        boxes: (n, 4) float32 xyxy in continuous pixels (a VOC box xmin..xmax becomes xmin-1..xmax).
        class_ids: (n,) int64, indices into the dataset's labels.
        ignore: (n,) bool; True for VOC `difficult` and COCO `iscrowd`, neither a hit nor a miss.
    """

    path: Path
    width: int
    height: int
    boxes: FloatArray
    class_ids: NDArray[np.int64]
    ignore: NDArray[np.bool_]

    def __post_init__(self) -> None:
        count = len(self.boxes)
        if (
            self.boxes.shape != (count, 4)
            or len(self.class_ids) != count
            or len(self.ignore) != count
        ):
            raise ValueError(
                f"{self.path}: boxes {self.boxes.shape}, class_ids {self.class_ids.shape} and "
                f"ignore {self.ignore.shape} don't describe the same objects"
            )
