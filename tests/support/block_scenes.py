"""A small dataset that a small network can learn, bright squares and bars on noise, and its settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgessd.train.config import TrainConfig, merge

LABELS = ("square", "bar")


def draw_scene(seed: int, side: int = 96) -> tuple[np.ndarray, list[tuple[int, list[float]]]]:
    """Draw one BGR picture; return it with (label index, [x, y, width, height]) of each object."""
    rng = np.random.default_rng(seed)
    image = rng.integers(40, 90, (side, side, 3)).astype(np.uint8)
    objects: list[tuple[int, list[float]]] = []
    for label in rng.permutation(2)[: rng.integers(1, 3)]:
        width, height = (28, 28) if label == 0 else (44, 16)
        x, y = (int(rng.integers(2, side - extent - 2)) for extent in (width, height))
        color = (40, 40, 240) if label == 0 else (240, 220, 30)
        cv2.rectangle(image, (x, y), (x + width - 1, y + height - 1), color, cv2.FILLED)
        objects.append((int(label), [float(x), float(y), float(width), float(height)]))
    return image, objects


def write_coco(root: Path, splits: dict[str, range]) -> Path:
    """Write a COCO dataset with one scene for each number of each split; return its folder."""
    for split, numbers in splits.items():
        images, annotations = [], []
        for number in numbers:
            image, objects = draw_scene(number)
            path = root / "images" / f"{number:04d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), image)
            height, width = image.shape[:2]
            images.append({"id": number, "file_name": path.name, "width": width, "height": height})
            annotations += [
                {
                    "id": 10 * number + index,
                    "image_id": number,
                    "category_id": label + 1,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
                for index, (label, box) in enumerate(objects)
            ]
        content = {
            "images": images,
            "annotations": annotations,
            "categories": [{"id": index + 1, "name": name} for index, name in enumerate(LABELS)],
        }
        file = root / "annotations" / f"instances_{split}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content))
    return root


def tiny_config(root: Path, **sections: dict[str, Any]) -> TrainConfig:
    """Settings of a training that takes seconds: width 0.1, 64x64, 3 epochs, one thread.

    Args:
        root: Folder of the dataset.
        sections: Settings that differ, by section.
    """
    return merge(
        {
            "data": {"path": str(root)},
            "model": {"weights": "none", "width": 0.1, "input_size": (64, 64)},
            "optimize": {"epochs": 3, "batch": 4, "warmup_steps": 2, "lr": 2e-3},
            "machine": {"threads": 1, "sheet_every": 0},
        },
        sections,
    )
