"""Measure recipes, and each pass of a recipe alone, by the agreement of quantized and float graph.

It quantizes one checkpoint in both schemes and with several draws of calibration images. Each Q/DQ graph
runs in onnxruntime. It prints the agreement AP with the float graph, and AP if there are labels. A draw is a
folder, or a range of its sorted names. The calibration images of a draw are not evaluated in that draw.

    edgessd import folded ../shared/weights/ssdlite_mobilenet_v2_voc --out voc.pt
    python benchmarks/quantization.py --checkpoint voc.pt --ablation \
        --calibration ../shared/data/coco128/images/train2017:0:100 --agreement ../shared/data/coco_train
    python benchmarks/quantization.py --checkpoint voc.pt --recipe default --recipe average \
        --calibration ../shared/data/coco128/images/train2017:0:100 \
        --calibration ../shared/data/coco_train:0:100 --calibration ../shared/data/coco_train:100:200 \
        --data ../shared/data/voc100 --agreement ../shared/data/coco128/images/val2017

Choose on some images (the first call), report on others (the second).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from msgspec.structs import replace

from edgessd.bench.accuracy import score
from edgessd.build.calibration_images import images_in
from edgessd.calibrate.calibration_set import CalibrationSet
from edgessd.core.contract import Contract
from edgessd.core.decode import Postprocessor
from edgessd.core.detections import Detections
from edgessd.core.images import list_images, read_image
from edgessd.core.network_tensors import BOX_CODES, CLASS_SCORES, INPUT, image_spec
from edgessd.core.preprocess import preprocess_image
from edgessd.core.tensors import TensorSpec
from edgessd.data.dataset import load_dataset
from edgessd.graph.export import export_float_graph
from edgessd.graph.verify import make_session
from edgessd.metrics.coco import EVALUATION_NMS
from edgessd.metrics.ground_truth import LabeledImage
from edgessd.metrics.parity import agreement_ap
from edgessd.model.checkpoint import load_checkpoint
from edgessd.quantize.recipe import FloatPasses, Recipe, load_recipe
from edgessd.quantize.schemes import SCHEMES
from edgessd.quantize.workflow import Stage, quantize_graph


def main() -> None:
    arguments = _arguments()
    graph = export_float_graph(load_checkpoint(arguments.checkpoint))
    labeled = load_dataset(arguments.data).split(arguments.split) if arguments.data else ()
    paths = [image.path for image in labeled]
    paths += [path for folder in arguments.agreement for path in list_images(folder)]
    if not paths:
        raise SystemExit("give images to judge on with --data or --agreement")
    reference = dict(
        zip(paths, detect(graph.model.SerializeToString(), graph.contract, paths), strict=True)
    )
    judge = Judge(labeled=labeled, paths=paths, reference=reference, labels=graph.contract.labels)
    print(f"{'float32':38}{'':11}{_words(judge.judge(list(reference.values()), ()))}")
    recipes = [load_recipe(name) for name in arguments.recipe or ["default"]]
    if arguments.ablation:
        recipes = [variant for recipe in recipes for variant in ablation(recipe)]
    rows = []
    for draw in arguments.calibration:
        images = CalibrationSet(drawn(draw))
        with TemporaryDirectory() as cache:
            for recipe, scheme in product(recipes, arguments.scheme):
                seconds = StageSeconds()
                found = quantize_graph(
                    graph,
                    images,
                    recipe=recipe,
                    schemes=(scheme,),
                    cache=Path(cache),
                    progress=seconds,
                )
                quantized = found.quantized[scheme]
                row = {
                    "recipe": recipe.name,
                    "scheme": scheme,
                    "draw": draw,
                    "calibrate_seconds": seconds.of("calibrate"),
                    "quantize_seconds": seconds.of("quantize"),
                }
                model = quantized.model.SerializeToString()
                row |= judge.judge(detect(model, quantized.contract, paths), images.paths)
                rows.append(row)
                print(f"{recipe.name:38}{scheme:11}{_words(row)}  {draw}", flush=True)
    means = _means(rows)
    for row in means:
        print(f"{row['recipe']:38}{row['scheme']:11}{_words(row)}  mean of {row['draws']}")
    if arguments.out:
        arguments.out.write_text(
            json.dumps({"images": len(paths), "means": means, "rows": rows}, indent=2) + "\n"
        )


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Scores detections of all `paths`, labeled images first, against the float graph's."""

    labeled: Sequence[LabeledImage]
    paths: Sequence[Path]
    reference: Mapping[Path, Detections]
    labels: Sequence[str]

    def judge(self, found: Sequence[Detections], seen: Collection[Path]) -> dict[str, float]:
        """Return the agreement AP, and AP if there are labels, without the images in `seen`."""
        hidden = set(seen)
        kept = [index for index, path in enumerate(self.paths) if path not in hidden]
        scores = {
            "judged_on": len(kept),
            "agreement_AP": agreement_ap(
                [self.reference[self.paths[index]] for index in kept],
                [found[index] for index in kept],
            ),
        }
        if self.labeled:
            report = score(self.labeled, found[: len(self.labeled)], self.labels)
            scores["AP"] = report.metrics.AP
        return {name: round(value, 4) for name, value in scores.items()}


def ablation(recipe: Recipe) -> list[Recipe]:
    """Return the recipe with its ranges only, with each of its passes alone, and complete."""
    bare = replace(
        recipe,
        float_passes=FloatPasses(),
        tighten_ranges=False,
        rounding="nearest",
        correct_bias=False,
    )
    variants = {"ranges alone": bare}
    for name in FloatPasses.__struct_fields__:
        if getattr(recipe.float_passes, name):
            variants[name] = replace(bare, float_passes=FloatPasses(**{name: True}))
    if recipe.float_passes != FloatPasses():
        variants["all float passes"] = replace(bare, float_passes=recipe.float_passes)
    if recipe.tighten_ranges:
        variants["tighten_ranges"] = replace(bare, tighten_ranges=True)
    if recipe.correct_bias:
        variants["correct_bias"] = replace(bare, correct_bias=True)
    if recipe.rounding == "learned":
        variants["learned rounding"] = replace(bare, correct_bias=True, rounding="learned")
    variants["all"] = recipe
    return [replace(entry, name=f"{recipe.name}: {name}") for name, entry in variants.items()]


class StageSeconds:
    """Progress callback of `quantize_graph` that times its stages.

    Only the first recipe with given float passes calibrates; the others read its table from the cache.
    """

    def __init__(self) -> None:
        self._started: dict[Stage, float] = {}

    def __call__(self, stage: Stage, done: int, total: int) -> None:
        self._started.setdefault(stage, time.perf_counter())

    def of(self, stage: Stage) -> float:
        """Return the seconds from the start of a stage to the start of the next."""
        later = [begun for begun in self._started.values() if begun > self._started[stage]]
        return round(min(later) - self._started[stage], 2)


def drawn(draw: str) -> list[Path]:
    """Return the images of FOLDER or FOLDER:START:END by sorted names, or a dataset's training images."""
    folder, _, part = draw.partition(":")
    start, _, end = part.partition(":")
    images = sorted(images_in(Path(folder), limit=sys.maxsize).paths)
    return images[int(start or 0) : int(end) if end else None]


def _means(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Average the rows over the draws."""
    means = []
    for name, scheme in dict.fromkeys((row["recipe"], row["scheme"]) for row in rows):
        same = [row for row in rows if (row["recipe"], row["scheme"]) == (name, scheme)]
        mean = {"recipe": name, "scheme": scheme, "draws": len(same)}
        for key in ("agreement_AP", "AP", "calibrate_seconds", "quantize_seconds"):
            if key in same[0]:
                mean[key] = round(sum(row[key] for row in same) / len(same), 4)
        means.append(mean)
    return means


def _words(scores: Mapping[str, Any]) -> str:
    ap = f"  AP {scores['AP']:.4f}" if "AP" in scores else ""
    return f"agreement {scores['agreement_AP']:.4f}{ap}"


def detect(model: bytes, contract: Contract, paths: Sequence[Path]) -> list[Detections]:
    """Return the detections of an ONNX graph, float or Q/DQ, with the settings of evaluation."""
    session = make_session(model, threads=1)
    spec = contract.preprocess
    image = image_spec(spec)
    outputs = [
        TensorSpec(name=output.name, shape=tuple(output.shape), dtype="float32")
        for output in session.get_outputs()
    ]
    names = [output.name for output in outputs]
    box_codes, class_scores = names.index(BOX_CODES), names.index(CLASS_SCORES)
    postprocess = Postprocessor(
        contract, outputs[box_codes], outputs[class_scores], nms=EVALUATION_NMS
    )
    found = []
    for path in paths:
        tensor, transform = preprocess_image(read_image(path), spec, image)
        values = session.run(names, {INPUT: tensor})
        found.append(postprocess(values[box_codes], values[class_scores], transform))
    return found


def add_images(parser: argparse.ArgumentParser) -> None:
    """Parse the options: the detector, its calibration images and its evaluation images."""
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument(
        "--calibration",
        action="append",
        required=True,
        metavar="FOLDER[:START:END]",
        help="a draw of calibration images; repeat it for more",
    )
    parser.add_argument("--data", type=Path, help="labeled images for the evaluation")
    parser.add_argument("--split", default="all")
    parser.add_argument(
        "--agreement", type=Path, action="append", default=[], help="more images, without labels"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_images(parser)
    parser.add_argument("--recipe", action="append", help="name or file; default: default")
    parser.add_argument("--ablation", action="store_true", help="each pass of the recipes alone")
    parser.add_argument("--scheme", action="append", choices=list(SCHEMES))
    parser.add_argument("--out", type=Path, help="write the rows as JSON")
    arguments = parser.parse_args()
    arguments.scheme = arguments.scheme or list(SCHEMES)
    return arguments


if __name__ == "__main__":
    main()
