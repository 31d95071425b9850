"""Append decoding and suppression to a network, for `--postprocess op`, from standard operators.

The outputs have the names and shapes of TFLite_Detection_PostProcess, so one reader serves both formats.
TensorRT's plugins for this task are deprecated and not used.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgessd.core.contract import Contract
from edgessd.core.network_tensors import DETECTION_OUTPUTS, detection_specs
from edgessd.core.tensors import TensorSpec
from edgessd.graph.view import copy_of, replace_nodes
from edgessd.lower.tensorrt.candidates import Candidates, best_candidates
from edgessd.lower.tensorrt.nms_layer import suppress_by_layer
from edgessd.lower.tensorrt.nms_operators import suppress_by_operators
from edgessd.lower.tensorrt.op_writer import OpWriter

Suppression = Literal["layer", "operators"]


def append_detection(
    model: onnx.ModelProto, contract: Contract, *, suppression: Suppression, limit: int
) -> tuple[onnx.ModelProto, tuple[TensorSpec, ...]]:
    """Append decoding and suppression to float32 `box_codes` and `class_scores`.

    Args:
        model: Graph with these two outputs.
        contract: Anchors, box code, scoring and suppression.
        suppression: `layer` uses INMSLayer; `operators` is for a library without it.
        limit: Largest number of boxes that the device's INMSLayer compares.

    Returns:
        The model with `DETECTION_OUTPUTS` as its outputs, and their descriptions: boxes (1, D, 4) as top,
        left, bottom, right in fractions of the input, class ids (1, D), scores (1, D), count (1,). All are
        float32; rows from `count` on are 0.

    Raises:
        LoweringError: The contract has more detections than TensorRT can sort.
    """
    writer = OpWriter(public=DETECTION_OUTPUTS)
    found = best_candidates(writer, contract, limit=limit)
    suppress = suppress_by_layer if suppression == "layer" else suppress_by_operators
    places, scores = suppress(writer, found)
    _look_up(writer, found, places, scores)
    specs = detection_specs(found.detections)
    model = copy_of(model)
    del model.graph.output[:]
    model.graph.output.extend(
        helper.make_tensor_value_info(spec.name, TensorProto.FLOAT, spec.shape) for spec in specs
    )
    model.graph.initializer.extend(writer.constants.values())
    replace_nodes(model, [*model.graph.node, *writer.nodes])
    return model, specs


def _look_up(writer: OpWriter, found: Candidates, places: str, scores: str) -> None:
    """Write the outputs, from tables with an empty entry behind the last candidate."""
    total, count = found.labels * found.count, found.detections
    boxes_name, classes_name, scores_name, count_name = DETECTION_OUTPUTS
    flat = writer.reshape(found.boxes, "flat_boxes", (total, 4))
    empty = writer.constant("no_box", [(0, 0, 0, 0)], np.float32)
    table = writer.op("Concat", [flat, empty], "box_table", axis=0)
    boxes = writer.op("Gather", [table, places], "found_boxes", axis=0)
    writer.reshape(boxes, boxes_name, (1, count, 4))
    class_ids = np.append(np.repeat(np.arange(found.labels), found.count), 0)
    classes = writer.constant("class_table", class_ids, np.float32)
    classes = writer.op("Gather", [classes, places], "found_classes", axis=0)
    writer.reshape(classes, classes_name, (1, count))
    writer.reshape(scores, scores_name, (1, count))
    zero = writer.constant("zero", 0, np.float32)
    positive = writer.op("Greater", [scores, zero], "is_found")
    positive = writer.op("Cast", [positive], "found", to=TensorProto.FLOAT)
    axis = writer.constant("rows_axis", [0], np.int64)
    writer.op("ReduceSum", [positive, axis], count_name, keepdims=1)
