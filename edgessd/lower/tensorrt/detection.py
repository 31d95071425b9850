"""The tail of `--postprocess op`: decode and suppression inside the engine, from standard operators.

What leaves is what TFLite_Detection_PostProcess gives, under the same names, so one reader serves both.
TensorRT's plugins for this are deprecated and not used.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgessd.core.contract import Contract
from edgessd.core.tensors import TensorSpec
from edgessd.graph.view import copy_of, replace_nodes
from edgessd.lower.tensorrt.candidates import Candidates, best_candidates
from edgessd.lower.tensorrt.nms_layer import suppress_by_layer
from edgessd.lower.tensorrt.nms_operators import suppress_by_operators
from edgessd.lower.tensorrt.tail import Tail
from edgessd.lower.tflite.postprocess import OUTPUT_NAMES

Suppression = Literal["layer", "operators"]


def append_detection(
    model: onnx.ModelProto, contract: Contract, *, suppression: Suppression, limit: int
) -> tuple[onnx.ModelProto, tuple[TensorSpec, ...]]:
    """Decode and suppress behind float32 `box_codes` and `class_scores`.

    Args:
        model: With these two as its outputs.
        contract: Anchors, box code, scoring and suppression.
        suppression: `layer` by INMSLayer, `operators` where the library has none.
        limit: Most boxes that the device's INMSLayer compares.

    Returns:
        The model with the op's outputs instead, and these: boxes (1, D, 4) as top, left, bottom, right
        in fractions of the input, class ids (1, D), scores (1, D), count (1,); all float32, rows from
        `count` on are 0.

    Raises:
        LoweringError: More detections are wanted than TensorRT can sort.
    """
    tail = Tail(public=OUTPUT_NAMES)
    found = best_candidates(tail, contract, limit=limit)
    suppress = suppress_by_layer if suppression == "layer" else suppress_by_operators
    places, scores = suppress(tail, found)
    _look_up(tail, found, places, scores)
    count = found.detections
    specs = tuple(
        TensorSpec(name=name, shape=shape, dtype="float32")
        for name, shape in zip(
            OUTPUT_NAMES, ((1, count, 4), (1, count), (1, count), (1,)), strict=True
        )
    )
    model = copy_of(model)
    del model.graph.output[:]
    model.graph.output.extend(
        helper.make_tensor_value_info(spec.name, TensorProto.FLOAT, spec.shape) for spec in specs
    )
    model.graph.initializer.extend(tail.constants.values())
    replace_nodes(model, [*model.graph.node, *tail.nodes])
    return model, specs


def _look_up(tail: Tail, found: Candidates, places: str, scores: str) -> None:
    """The outputs, from tables with an empty entry behind the last candidate."""
    total, count = found.labels * found.count, found.detections
    boxes_name, classes_name, scores_name, count_name = OUTPUT_NAMES
    flat = tail.reshape(found.boxes, "flat_boxes", (total, 4))
    empty = tail.constant("no_box", [(0, 0, 0, 0)], np.float32)
    table = tail.op("Concat", [flat, empty], "box_table", axis=0)
    boxes = tail.op("Gather", [table, places], "found_boxes", axis=0)
    tail.reshape(boxes, boxes_name, (1, count, 4))
    class_ids = np.append(np.repeat(np.arange(found.labels), found.count), 0)
    classes = tail.constant("class_table", class_ids, np.float32)
    classes = tail.op("Gather", [classes, places], "found_classes", axis=0)
    tail.reshape(classes, classes_name, (1, count))
    tail.reshape(scores, scores_name, (1, count))
    zero = tail.constant("zero", 0, np.float32)
    positive = tail.op("Greater", [scores, zero], "is_found")
    positive = tail.op("Cast", [positive], "found", to=TensorProto.FLOAT)
    axis = tail.constant("rows_axis", [0], np.int64)
    tail.op("ReduceSum", [positive, axis], count_name, keepdims=1)
