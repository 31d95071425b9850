"""Which recipe keeps an int8 detector closest to its float self?

Quantizes one checkpoint with every recipe in both schemes from one calibration table, runs each Q/DQ
graph in onnxruntime and prints agreement AP with the float graph, and AP where there are labels.

    edgessd import folded ../shared/weights/ssdlite_mobilenet_v2_voc --out voc.pt
    python benchmarks/quantization.py --checkpoint voc.pt \
        --calibration ../shared/data/coco128/images/train2017 --agreement ../shared/data/coco_train
    python benchmarks/quantization.py --checkpoint voc.pt \
        --calibration ../shared/data/coco128/images/train2017 \
        --data ../shared/data/voc100 --agreement ../shared/data/coco128/images/val2017

Choose a recipe on some images (the first call), report it on others (the second).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

from edgessd.bench.accuracy import score
from edgessd.calibrate.collect import collect
from edgessd.calibrate.table import CalibrationTable
from edgessd.core.contract import Contract
from edgessd.core.decode import Postprocessor
from edgessd.core.detections import Detections
from edgessd.core.images import list_images, read_image
from edgessd.core.preprocess import prepare_image
from edgessd.core.tensors import TensorSpec
from edgessd.data.dataset import load_dataset
from edgessd.graph.export import export_float_graph
from edgessd.graph.float_graph import INPUT, FloatGraph
from edgessd.graph.verify import make_session
from edgessd.metrics.coco import EVALUATION_NMS
from edgessd.metrics.parity import agreement_ap
from edgessd.model.checkpoint import load_checkpoint
from edgessd.quantize.ptq import quantize
from edgessd.quantize.recipe import Recipe, list_recipes, load_recipe
from edgessd.quantize.schemes import SCHEMES


def main() -> None:
    arguments = _arguments()
    started = time.perf_counter()
    graph = export_float_graph(load_checkpoint(arguments.checkpoint))
    exported = time.perf_counter()
    table = _table(graph, arguments)
    print(
        f"export {exported - started:.1f} s, "
        f"calibration with {len(table.images)} images {time.perf_counter() - exported:.1f} s"
    )
    labelled = load_dataset(arguments.data).split(arguments.split) if arguments.data else ()
    paths = [image.path for image in labelled]
    paths += [path for folder in arguments.agreement for path in list_images(folder)]
    if not paths:
        raise SystemExit("give images to judge on with --data or --agreement")
    reference = detect(graph.model.SerializeToString(), graph.contract, paths)
    rows = []
    if labelled:
        ap = score(labelled, reference[: len(labelled)], graph.contract.labels).metrics.AP
        print(f"{'float32':24}{'':11}agreement 1.0000  AP {ap:.4f}")
    for scheme in arguments.scheme:
        for recipe in _recipes(arguments.recipe):
            begun = time.perf_counter()
            quantized = quantize(graph, table, scheme=scheme, recipe=recipe)
            seconds = time.perf_counter() - begun
            found = detect(quantized.model.SerializeToString(), quantized.contract, paths)
            row = {"recipe": recipe.name, "scheme": scheme, "quantize_seconds": round(seconds, 2)}
            row["agreement_AP"] = round(agreement_ap(reference, found), 4)
            if labelled:
                report = score(labelled, found[: len(labelled)], graph.contract.labels)
                row["AP"] = round(report.metrics.AP, 4)
            rows.append(row)
            ap_text = f"  AP {row['AP']:.4f}" if labelled else ""
            print(
                f"{recipe.name:24}{scheme:11}agreement {row['agreement_AP']:.4f}{ap_text}",
                flush=True,
            )
    if arguments.out:
        arguments.out.write_text(json.dumps({"images": len(paths), "rows": rows}, indent=2) + "\n")


def detect(model: bytes, contract: Contract, paths: Sequence[Path]) -> list[Detections]:
    """Detections of an ONNX graph, float or Q/DQ, with the settings of evaluation."""
    session = make_session(model, threads=1)
    spec = contract.preprocess
    image = TensorSpec(
        name=INPUT, shape=(1, 3, spec.height, spec.width), dtype="float32", layout="NCHW"
    )
    outputs = [
        TensorSpec(name=output.name, shape=tuple(output.shape), dtype="float32")
        for output in session.get_outputs()
    ]
    names = [output.name for output in outputs]
    box_codes, class_scores = names.index("box_codes"), names.index("class_scores")
    finish = Postprocessor(contract, outputs[box_codes], outputs[class_scores], nms=EVALUATION_NMS)
    found = []
    for path in paths:
        tensor, placement = prepare_image(read_image(path), spec, image)
        values = session.run(names, {INPUT: tensor})
        found.append(finish(values[box_codes], values[class_scores], placement))
    return found


def _table(graph: FloatGraph, arguments: argparse.Namespace) -> CalibrationTable:
    images = list_images(arguments.calibration)[: arguments.images]
    return collect(graph, images)


def _recipes(names: list[str]) -> list[Recipe]:
    return [load_recipe(name) for name in names or list_recipes()]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--calibration", type=Path, required=True, help="folder of images")
    parser.add_argument("--images", type=int, default=100, help="calibration images, first by name")
    parser.add_argument("--data", type=Path, help="labelled images to judge on")
    parser.add_argument("--split", default="all")
    parser.add_argument("--agreement", type=Path, action="append", default=[], help="more images")
    parser.add_argument("--recipe", action="append", help="name or file; default: all that ship")
    parser.add_argument("--scheme", action="append", choices=list(SCHEMES))
    parser.add_argument("--out", type=Path, help="write the rows as JSON")
    arguments = parser.parse_args()
    arguments.scheme = arguments.scheme or list(SCHEMES)
    return arguments


if __name__ == "__main__":
    main()
