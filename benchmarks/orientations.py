"""Compare the AP of detectors on the same images in eight orientations, with a standard error.

On a few dozen images the noise of AP is some thousandths, as large as the loss of int8. Cells under a
microscope, or codes on a table, have no preferred orientation. So each image is rotated and mirrored in
eight ways. The mean of eight differences has a standard error, which a single difference lacks.

    edgessd train --qat --weights runs/cells/best.pt --out runs/cells-int8 --time-budget 8
    edgessd build --target raspberry-pi --checkpoint runs/cells-int8 --out dist/cells-pi
    edgessd build --target jetson --checkpoint runs/cells-int8 --out dist/cells-jetson
    python benchmarks/orientations.py runs/cells/best.pt dist/cells-pi dist/cells-jetson \
        --data ../shared/data/bccd --split test

The others are compared with the first model. Don't use it for data with a preferred orientation.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgessd.cli.open_model import open_measured
from edgessd.core.images import read_image
from edgessd.data.dataset import load_dataset
from edgessd.metrics.coco import coco_metrics
from edgessd.metrics.ground_truth import LabeledImage

Pixels = NDArray[np.uint8]


def main() -> None:
    arguments = _arguments()
    dataset = load_dataset(arguments.data)
    models = [open_measured(path, threads=1) for path in arguments.models]
    for model in models:
        if model.labels != dataset.labels:
            raise SystemExit(f"{model.path} detects {model.labels}, the data has {dataset.labels}")
    images = dataset.split(arguments.split)
    found: dict[str, list[float]] = {model.path: [] for model in models}
    for turned in range(8):
        scenes = list(_scenes(images, turned))
        for model in models:
            detections = [model.run(pixels).detections for pixels, _ in scenes]
            metrics = coco_metrics([image for _, image in scenes], detections, dataset.labels)
            found[model.path].append(metrics.AP)
        print(
            f"orientation {turned}", *(f"{values[-1]:.4f}" for values in found.values()), flush=True
        )
    rows = _rows(found)
    for row in rows:
        print(
            f"{row['model']}: AP {row['AP'][0]:.4f} upright, mean of eight {row['mean_AP']:.4f}, "
            f"{row['difference']:+.4f} +- {row['standard_error']:.4f}"
        )
    if arguments.out:
        record = {"data": dataset.root.name, "split": arguments.split, "images": len(images)}
        arguments.out.write_text(json.dumps({**record, "rows": rows}, indent=2) + "\n")


def _scenes(images: tuple[LabeledImage, ...], turned: int) -> Iterator[tuple[Pixels, LabeledImage]]:
    for image in images:
        yield _turned(read_image(image.path), image, turned)


def _turned(pixels: Pixels, image: LabeledImage, turned: int) -> tuple[Pixels, LabeledImage]:
    """Apply one of the square's eight symmetries: transpose (4), then mirror in x (1) and in y (2)."""
    boxes = image.boxes
    if turned & 4:
        pixels, boxes = pixels.transpose(1, 0, 2), boxes[:, [1, 0, 3, 2]]
    height, width = pixels.shape[:2]
    if turned & 1:
        pixels, boxes = pixels[:, ::-1], boxes[:, [2, 1, 0, 3]]
        boxes = np.abs(boxes - np.array((width, 0, width, 0), np.float32))
    if turned & 2:
        pixels, boxes = pixels[::-1], boxes[:, [0, 3, 2, 1]]
        boxes = np.abs(boxes - np.array((0, height, 0, height), np.float32))
    placed = replace(image, width=width, height=height, boxes=boxes.astype(np.float32))
    return np.ascontiguousarray(pixels), placed


def _rows(found: dict[str, list[float]]) -> list[dict[str, Any]]:
    reference = np.array(next(iter(found.values())))
    rows = []
    for name, values in found.items():
        apart = np.array(values) - reference
        rows.append(
            {
                "model": "/".join(Path(name).parts[-2:]),
                "AP": [round(value, 4) for value in values],
                "mean_AP": round(float(np.mean(values)), 4),
                "difference": round(float(apart.mean()), 4),
                "standard_error": round(float(apart.std(ddof=1) / np.sqrt(len(apart))), 4),
            }
        )
    return rows


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "models", nargs="+", help="the reference, then the models to compare with it"
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--out", type=Path, help="write the rows as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
