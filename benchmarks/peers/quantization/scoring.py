"""Run any peer's engine with the same images, preprocessing, kernels and postprocessing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgessd.core.contract import Contract
from edgessd.core.decode import Postprocessor
from edgessd.core.detections import Detections
from edgessd.core.images import read_image
from edgessd.core.preprocess import preprocess_image
from edgessd.metrics.coco import EVALUATION_NMS
from edgessd.runtime.tflite_backend import load_library, make_interpreter, tensor_spec

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from quantization import Judge, add_images, detect, drawn

__all__ = ["Judge", "add_images", "detect", "drawn", "found_by"]

Paths = Sequence[Path]


def found_by(engine: Path, changed: Path, contract: Contract, paths: Paths) -> list[Detections]:
    """Return the detections of an engine, with the settings of evaluation, on one thread.

    Args:
        engine: `.onnx` for onnxruntime, `.tflite` for LiteRT with XNNPACK.
        changed: File with the engine's own contract, if it exists.
        contract: The float graph's.
        paths: Images.
    """
    if changed.is_file():
        contract = msgspec.json.decode(changed.read_bytes(), type=Contract)
    if engine.suffix == ".onnx":
        return detect(engine.read_bytes(), contract, paths)
    return _in_litert(engine, contract, paths)


def _in_litert(engine: Path, contract: Contract, paths: Paths) -> list[Detections]:
    interpreter = make_interpreter(load_library()[0], engine, threads=1, xnnpack=True)
    (image,) = interpreter.get_input_details()
    outputs = interpreter.get_signature_runner().get_output_details()
    # The sorted names are in this order: "box_codes", "class_scores", or "output_0", "output_1".
    box_codes, class_scores = (outputs[name] for name in sorted(outputs))
    postprocess = Postprocessor(
        contract, tensor_spec(box_codes), tensor_spec(class_scores), nms=EVALUATION_NMS
    )
    spec = tensor_spec(image)
    found = []
    for path in paths:
        tensor, transform = preprocess_image(read_image(path), contract.preprocess, spec)
        interpreter.set_tensor(image["index"], tensor)
        interpreter.invoke()
        values = [interpreter.get_tensor(output["index"]) for output in (box_codes, class_scores)]
        found.append(postprocess(*values, transform))
    return found
