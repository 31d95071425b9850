"""The detection operator gives the detections of edgessd's own decoding and suppression."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from edgessd.core.contract import Nms
from edgessd.core.decode import Postprocessor
from edgessd.core.errors import LoweringError
from edgessd.core.images import read_image
from edgessd.core.network_tensors import DETECTION_OP
from edgessd.core.preprocess import preprocess_image
from edgessd.lower.tflite.lower import lower_to_tflite

pytestmark = pytest.mark.slow


def detect_both_ways(graph, frame, nms, run):
    """Detect with edgessd's decoding on the raw engine, and with the operator inside the engine."""
    contract = msgspec.structs.replace(graph.contract, nms=nms)
    graph = replace(graph, contract=contract)
    raw, op = (lower_to_tflite(graph, input_dtype="uint8", postprocess=p) for p in ("raw", "op"))
    tensor, transform = preprocess_image(frame, contract.preprocess, raw.inputs[0])
    values = run(raw.content, tensor)
    expected = Postprocessor(contract, *raw.outputs)(
        values["box_codes"], values["class_scores"], transform
    )
    boxes, classes, scores, count = (run(op.content, tensor)[spec.name] for spec in op.outputs)
    valid = slice(0, int(count[0]))
    rows = transform.to_source(boxes[0, valid][:, [1, 0, 3, 2]])
    return expected, (rows, classes[0, valid].astype(int), scores[0, valid])


def assert_same_detections(expected, found):
    rows, classes, scores = found
    assert len(rows) == len(expected)
    np.testing.assert_allclose(scores, expected.scores, atol=1e-5)
    # Equal scores may come in any order.
    ours = np.lexsort((*expected.boxes.round().T, expected.class_ids, -expected.scores.round(4)))
    theirs = np.lexsort((*rows.round().T, classes, -scores.round(4)))
    np.testing.assert_array_equal(classes[theirs], expected.class_ids[ours])
    np.testing.assert_allclose(rows[theirs], expected.boxes[ours], atol=0.1)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("background", [True, False])
def test_op_decodes_as_core_does(small, photos, litert_xnnpack, activation, background):
    """Compare on an untrained network, whose many scores near each other show every difference.

    Nothing is cut off: among equal scores at the limit, either choice would be right.
    """
    scoring = msgspec.structs.replace(
        small.contract.scoring, activation=activation, background=background
    )
    labels = small.contract.labels
    labels = labels if background else (*labels, "one more")
    contract = msgspec.structs.replace(small.contract, scoring=scoring, labels=labels)
    graph = replace(small, contract=contract)
    frame = read_image(sorted(photos.iterdir())[0])
    nms = Nms(score_threshold=0.1, iou_threshold=0.3, max_candidates=10_000, max_detections=2000)
    expected, found = detect_both_ways(graph, frame, nms, litert_xnnpack)
    assert len(expected) > 5
    assert_same_detections(expected, found)


def test_op_engine_is_found_by_the_ways_of_other_clients(small):
    """Clients look for TF1's tensor names and order, for TF2's signature (Coral), or for the operator."""
    from ai_edge_litert.interpreter import Interpreter

    lowered = lower_to_tflite(small, postprocess="op")
    interpreter = Interpreter(model_content=lowered.content)
    interpreter.allocate_tensors()
    most = small.contract.nms.max_detections
    details = interpreter.get_output_details()
    assert [d["name"] for d in details] == [
        DETECTION_OP,
        *(f"{DETECTION_OP}:{n}" for n in (1, 2, 3)),
    ]
    assert [tuple(d["shape"]) for d in details] == [(1, most, 4), (1, most), (1, most), (1,)]
    (signature,) = interpreter._get_full_signature_list().values()
    by_name = {name: interpreter.get_tensor(i).shape for name, i in signature["outputs"].items()}
    assert by_name == {
        "output_0": (1,),
        "output_1": (1, most),
        "output_2": (1, most),
        "output_3": (1, most, 4),
    }
    assert signature["outputs"]["output_1"] == details[2]["index"], "scores"
    assert signature["outputs"]["output_2"] == details[1]["index"], "classes"


def test_op_attributes_are_read_by_edgessds_own_reader(small, tmp_path):
    from edgessd.runtime.foreign_tflite import read_foreign_model

    lowered = lower_to_tflite(small, input_dtype="uint8", postprocess="op")
    path = tmp_path / "op.tflite"
    path.write_bytes(lowered.content)
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(small.contract.labels))
    model = read_foreign_model(path, lowered.inputs[0], lowered.outputs, labels_file=labels)
    assert model.labels == small.contract.labels
    assert (model.outputs.boxes, model.outputs.count) == (DETECTION_OP, f"{DETECTION_OP}:3")


@pytest.mark.parametrize("fault", ["relu", "shared head", "channels", "no conv"])
def test_box_codes_that_cant_be_reordered_are_refused(qdq_graph, fault):
    from edgessd.lower.tflite.graph_reader import read_network
    from edgessd.lower.tflite.postprocess import reorder_box_codes

    graph = qdq_graph()
    x = graph.image((1, 4, 6, 6), scale=0.05)
    if fault == "no conv":
        made = x
    else:
        made = graph.qdq(graph.conv(x, "head", (6 if fault == "channels" else 8, 4, 1, 1)), 0.05)
    if fault == "relu":
        made = graph.qdq(graph.activation(made, "Relu"), 0.05)
    outputs = ["box_codes"]
    if fault == "shared head":
        graph.qdq(graph.op("Add", [made, made], "other"), 0.05, output="sum")
        outputs.append("sum")
    made = graph.qdq(graph.op("Transpose", [made], "t", perm=[0, 2, 3, 1]), 0.05)
    shape = graph.constant("shape", np.array([1, -1, 4]))
    graph.qdq(graph.op("Reshape", [made, shape], "r"), 0.05, output="box_codes")
    network = read_network(graph.model(*outputs))
    why = {
        "relu": "can't be changed through it",
        "shared head": "a box head whose channels have to be reordered",
        "channels": "four channels for each anchor",
        "no conv": "are the graph's input",
    }
    with pytest.raises(LoweringError, match=why[fault]):
        reorder_box_codes(network, "box_codes")


def test_voc_op_decodes_as_core_does_on_photographs(voc, shared, litert_xnnpack):
    found_any = 0
    for path in sorted((shared / "data/voc100").rglob("*.jpg"))[:6]:
        expected, found = detect_both_ways(voc, read_image(path), voc.contract.nms, litert_xnnpack)
        assert_same_detections(expected, found)
        found_any += len(expected)
    assert found_any >= 10
