"""Compare the time of calibration with the time of running the float graph.

Both read, resize and run the same images with the same number of threads, in turns of one portion each,
so that other work on the machine slows both. The float passes run once, on a few images, and count as
calibration. Quantization takes the same time for any number of images and is reported apart.

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

from edgessd.calibrate.calibration_set import CalibrationSet
from edgessd.calibrate.collect import collect
from edgessd.calibrate.ordered_map import WORKERS
from edgessd.calibrate.samples import draw_samples
from edgessd.core.images import list_images, read_image
from edgessd.core.network_tensors import INPUT, image_spec
from edgessd.core.preprocess import preprocess_image
from edgessd.graph.export import export_float_graph
from edgessd.graph.float_graph import FloatGraph
from edgessd.graph.verify import make_session
from edgessd.model.checkpoint import load_checkpoint
from edgessd.quantize.float_passes.apply import apply_float_passes
from edgessd.quantize.ptq import quantize
from edgessd.quantize.recipe import load_recipe

ALLOWED_RATIO = 1.3
PORTION = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--images", type=Path, action="append", required=True, help="folder")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
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
    recipe = load_recipe("default")
    begun = time.perf_counter()
    quantizable = apply_float_passes(
        graph, draw_samples(CalibrationSet(images), graph.contract), recipe.float_passes
    )
    seconds = {"images": float(len(images)), "float_passes_s": time.perf_counter() - begun}
    seconds |= {"collect_s": 0.0, "float_graph_s": 0.0}
    session = make_session(graph.model, threads=WORKERS)
    for start in range(0, len(images), PORTION):
        portion = images[start : start + PORTION]
        begun = time.perf_counter()
        table = collect(quantizable.source, CalibrationSet(portion), minimum=1)
        collected = time.perf_counter()
        _run_float(session, graph, portion)
        seconds["collect_s"] += collected - begun
        seconds["float_graph_s"] += time.perf_counter() - collected
    begun = time.perf_counter()
    quantize(quantizable, table, scheme="affine", recipe=recipe)
    seconds["quantize_s"] = time.perf_counter() - begun
    calibration = seconds["float_passes_s"] + seconds["collect_s"]
    seconds["ratio"] = calibration / seconds["float_graph_s"]
    return seconds


def _run_float(session: Any, graph: FloatGraph, images: Sequence[Path]) -> None:
    spec = graph.contract.preprocess
    tensor = image_spec(spec)
    for image in images:
        session.run(None, {INPUT: preprocess_image(read_image(image), spec, tensor)[0]})


if __name__ == "__main__":
    main()
