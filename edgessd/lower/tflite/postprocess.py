"""Append TFLite_Detection_PostProcess, which decodes and suppresses, for `--postprocess op`.

The custom operator (tensorflow/lite/kernels/detection_postprocess.cc) takes box encodings [1, N, 4] in the
order y, x, h, w, class scores [1, N, C] after their activation, and anchors [N, 4] as y and x of the
center, then h and w. It reads float32 or uint8 and refuses int8, so both tensors are dequantized. The
activation runs in float: that costs no more than on int8, and the scores aren't rounded a second time, to
steps of 1/256. The outputs are float32: boxes [1, D, 4] as y1, x1, y2, x2 in fractions of the input,
classes [1, D] that count from the first label, scores [1, D], count [1].
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgessd.core.anchors import anchor_boxes
from edgessd.core.contract import Contract
from edgessd.core.errors import LoweringError
from edgessd.core.network_tensors import DETECTION_OP, detection_specs
from edgessd.core.tensors import TensorSpec
from edgessd.lower.tflite.flatbuffer import ModelBuilder
from edgessd.lower.tflite.ir import Activation, Constant, QuantNetwork, QuantNode

# (tx, ty, tw, th) to (ty, tx, th, tw)
_YXHW = (1, 0, 3, 2)


def reorder_box_codes(network: QuantNetwork, name: str) -> QuantNetwork:
    """Reorder the box codes from (tx, ty, tw, th) to (ty, tx, th, tw), at no cost at run time.

    The box heads' output channels have the order of the four numbers, so the heads' weights, scales and
    biases are permuted.

    Args:
        network: Network with only Transpose, Reshape and Concat between box heads and box codes.
        name: Name of the box codes, (1, N, 4).

    Raises:
        LoweringError: The box codes come from anything else, or a head has another reader.
    """
    producers = {node.output.name: node for node in network.nodes}
    permuted: dict[str, QuantNode] = {}
    pending = [name]
    while pending:
        node = producers.get(pending.pop())
        if node is None:
            raise LoweringError("The box codes are the graph's input", expected="a detector")
        if node.op_type in ("Conv", "DepthwiseConv"):
            permuted[node.output.name] = _with_permuted_channels(node)
        elif node.op_type in ("Transpose", "Reshape", "Concat"):
            pending.extend(value.name for value in node.activations())
            permuted[node.output.name] = node
        else:
            node.refuse(
                "the box codes pass it, and their order can't be changed through it",
                expected="Conv, Transpose, Reshape and Concat alone before the box codes",
                fix="Build with postprocess='raw'",
            )
    for node in network.nodes:
        for value in node.activations():
            if value.name in permuted and node.output.name not in permuted:
                node.refuse(
                    f"it reads {value.name!r}, a box head whose channels have to be reordered"
                )
    nodes = tuple(permuted.get(node.output.name, node) for node in network.nodes)
    return replace(network, nodes=nodes)


def _with_permuted_channels(node: QuantNode) -> QuantNode:
    channels = node.output.shape[1]
    if node.op_type != "Conv" or channels % len(_YXHW):
        node.refuse(
            f"the box codes come from its {channels} channels",
            expected="a Conv with four channels for each anchor",
            fix="Build with postprocess='raw'",
        )
    order = np.concatenate([np.array(_YXHW) + start for start in range(0, channels, len(_YXHW))])
    weights, bias = node.constant(1), node.constant(2)
    inputs = [node.inputs[0], *(c and _permuted(c, order) for c in (weights, bias))]
    return replace(node, inputs=tuple(inputs))


def _permuted(constant: Constant, order: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Constant:
    scale, zero_point = (
        value[order] if value is not None and value.size > 1 else value
        for value in (constant.scale, constant.zero_point)
    )
    return replace(constant, values=constant.values[order], scale=scale, zero_point=zero_point)


def add_postprocess(
    builder: ModelBuilder, box_codes: Activation, class_scores: Activation, contract: Contract
) -> tuple[tuple[int, ...], tuple[TensorSpec, ...]]:
    """Add dequantization, activation and the detection operator; return its outputs' indices and specs."""
    boxes = _dequantized(builder, box_codes)
    scores = _dequantized(builder, class_scores)
    probabilities = builder.tensor("class_probabilities", class_scores.shape, "float32")
    if contract.scoring.activation == "sigmoid":
        builder.operator("LOGISTIC", 1, [scores], [probabilities])
    else:
        builder.operator("SOFTMAX", 1, [scores], [probabilities], ("SoftmaxOptions", {"beta": 1.0}))
    centers = anchor_boxes(contract.anchors)[:, _YXHW]
    anchors = builder.constant("anchors", np.ascontiguousarray(centers, np.float32))
    specs = detection_specs(contract.nms.max_detections)
    outputs = tuple(builder.tensor(spec.name, spec.shape, spec.dtype) for spec in specs)
    inputs = [boxes, probabilities, anchors]
    builder.custom_operator(DETECTION_OP, inputs, outputs, attributes(contract))
    return outputs, specs


def attributes(contract: Contract) -> bytes:
    """Write the operator's attributes as a flexbuffer, in the types that its kernel reads."""
    from flatbuffers import flexbuffers

    box_code, nms = contract.box_code, contract.nms
    values = {
        "max_detections": nms.max_detections,
        # Read by the fast suppression only, which edgessd doesn't use, and required all the same.
        "max_classes_per_detection": 1,
        # The op has no limit on candidates before suppression; this one is on boxes after it.
        "detections_per_class": nms.max_detections,
        "use_regular_nms": True,
        "nms_score_threshold": nms.score_threshold,
        "nms_iou_threshold": nms.iou_threshold,
        # Without the background: the op takes columns - num_classes as the offset of the first label.
        "num_classes": len(contract.labels),
        "y_scale": 1 / box_code.centre_variance,
        "x_scale": 1 / box_code.centre_variance,
        "h_scale": 1 / box_code.size_variance,
        "w_scale": 1 / box_code.size_variance,
    }
    return bytes(flexbuffers.Dumps(values))


def _dequantized(builder: ModelBuilder, activation: Activation) -> int:
    output = builder.tensor(f"{activation.name}/real", activation.shape, "float32")
    source = builder.activation(activation)
    builder.operator("DEQUANTIZE", 2, [source], [output], ("DequantizeOptions", {}))
    return output
