"""Ground truth whose arrays describe the same objects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgessd.metrics.ground_truth import LabeledImage


@pytest.mark.parametrize(
    ("boxes", "class_ids", "ignore"), [((2, 4), 1, 2), ((2, 4), 2, 1), ((2, 5), 2, 2), ((8,), 8, 8)]
)
def test_arrays_of_different_lengths_are_refused(
    boxes: tuple[int, ...], class_ids: int, ignore: int
) -> None:
    with pytest.raises(ValueError, match=r"cat\.png.*don't describe the same objects"):
        LabeledImage(
            path=Path("cat.png"),
            width=8,
            height=6,
            boxes=np.zeros(boxes, np.float32),
            class_ids=np.zeros(class_ids, np.int64),
            ignore=np.zeros(ignore, bool),
        )


def test_an_image_without_objects_is_accepted() -> None:
    image = LabeledImage(
        path=Path("sky.png"),
        width=8,
        height=6,
        boxes=np.zeros((0, 4), np.float32),
        class_ids=np.zeros(0, np.int64),
        ignore=np.zeros(0, bool),
    )
    assert len(image.boxes) == 0
