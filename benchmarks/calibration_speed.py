"""Compare the time of calibration with the time of running the float graph.

Both read, resize and run the same images with the same number of threads. The float graph runs on half of
the images before calibration and on the other half after it, so that slow changes of the machine's load
meet both. The float passes count as calibration. Quantization takes the same time for any number of
images and is reported apart.

    edgessd import folded ../shared/weights/ssdlite_mobilenet_v2_voc --out voc.pt
    edgessd data synth codes --images 300
    python benchmarks/calibration_speed.py --checkpoint voc.pt --count 1000 --images codes \\
        --images ../shared/data/bccd --images ../shared/data/coco128 --images ../shared/data/coco_train
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quantization import StageSeconds

from edgessd.calibrate.calibration_set import CalibrationSet
from edgessd.calibrate.ordered_map import WORKERS
from edgessd.core.images import list_images, read_image
from edgessd.core.network_tensors import INPUT, image_spec
from edgessd.core.preprocess import preprocess_image
from edgessd.graph.export import export_float_graph
from edgessd.graph.float_graph import FloatGraph
from edgessd.graph.verify import make_session
from edgessd.model.checkpoint import load_checkpoint
from edgessd.quantize.recipe import load_recipe
from edgessd.quantize.workflow import quantize_graph

ALLOWED_RATIO = 1.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--images", type=Path, action="append", required=True, help="folder")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--out", type=Path, help="write the seconds as JSON")
    arguments = parser.parse_args()
    images = [image for folder in arguments.images for image in list_images(folder)]
    if len(images) < arguments.count:
        raise SystemExit(f"{arguments.count} images wanted, {len(images)} found")
    found = measure(
        export_float_graph(load_checkpoint(arguments.checkpoint)), images[: arguments.count]
    )
    for name, value in found.items():
        print(f"{name:22}{value:10.2f}")
    if arguments.out:
        arguments.out.write_text(json.dumps(found, indent=2) + "\n")
    raise SystemExit(found["ratio"] > ALLOWED_RATIO)


def measure(graph: FloatGraph, images: Sequence[Path]) -> dict[str, float]:
    """Return the seconds of each stage, and the ratio of calibration to float graph."""
    session = make_session(graph.model, threads=WORKERS)
    half = len(images) // 2
    float_seconds = _float_seconds(session, graph, images[:half])
    stages = StageSeconds()
    quantize_graph(
        graph,
        CalibrationSet(images),
        recipe=load_recipe("default"),
        schemes=("affine",),
        progress=stages,
    )
    float_seconds += _float_seconds(session, graph, images[half:])
    calibration = stages.of("calibrate")
    return {
        "images": float(len(images)),
        "calibrate_s": calibration,
        "float_graph_s": float_seconds,
        "quantize_s": stages.of("quantize"),
        "ratio": calibration / float_seconds,
    }


def _float_seconds(session: Any, graph: FloatGraph, images: Sequence[Path]) -> float:
    spec = graph.contract.preprocess
    tensor = image_spec(spec)
    begun = time.perf_counter()
    for image in images:
        session.run(None, {INPUT: preprocess_image(read_image(image), spec, tensor)[0]})
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
