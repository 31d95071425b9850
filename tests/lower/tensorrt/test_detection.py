"""Decoding and suppression inside a TensorRT graph give the detections of `core.decode` and `core.nms`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgessd.core.anchors import AnchorSpec
from edgessd.core.contract import BoxCode, Contract, Nms, Preprocess, Scoring
from edgessd.core.decode import Postprocessor
from edgessd.core.detections import Detections
from edgessd.core.errors import LoweringError
from edgessd.core.network_tensors import OUTPUTS
from edgessd.core.preprocess import ImageTransform
from edgessd.core.tensors import TensorSpec
from edgessd.graph.verify import checked, make_session
from edgessd.lower.tensorrt.detection import append_detection
from edgessd.model.new_detector import new_detector
from edgessd.runtime.postprocess_op import OpPostprocessor, outputs_by_name

Suppression = Literal["layer", "operators"]
WAYS: tuple[Suppression, ...] = ("layer", "operators")
WHOLE = ImageTransform(source_width=640, source_height=480, left=0, top=0, width=1, height=1)
LOOSE = Nms(score_threshold=0.05, iou_threshold=0.45, max_candidates=400, max_detections=100)


@pytest.fixture(scope="module")
def anchors() -> AnchorSpec:
    _, contract = new_detector(("a", "b", "c"), width=0.35, input_size=(160, 128))
    return contract.anchors


@pytest.fixture
def make_contract(anchors: AnchorSpec) -> Callable[..., Contract]:
    def make(**changes: object) -> Contract:
        contract = Contract(
            preprocess=Preprocess(width=160, height=128),
            anchors=anchors,
            labels=("a", "b", "c"),
            nms=LOOSE,
        )
        return msgspec.structs.replace(contract, **changes)

    return make


def postprocess_session(contract: Contract, suppression: Suppression, *, limit: int = 5000):
    """Decoding and suppression alone, on raw outputs as inputs, and descriptions of the outputs."""
    shapes = ((1, contract.anchors.count, 4), (1, contract.anchors.count, contract.columns))
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in zip(OUTPUTS, shapes, strict=True)
    ]
    graph = helper.make_graph([], "postprocess", values, values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model, specs = append_detection(model, contract, suppression=suppression, limit=limit)
    model = checked(model, after="append_detection")
    return make_session(model, threads=1), specs, model


def random_outputs(contract: Contract, seed: int, *, spread: float = 2.0) -> list[np.ndarray]:
    """Codes around 0, so that boxes of neighboring anchors overlap, and scores of all sizes."""
    random = np.random.default_rng(seed)
    count = contract.anchors.count
    codes = random.normal(0, 1, (1, count, 4))
    scores = random.normal(-2, spread, (1, count, contract.columns))
    return [codes.astype(np.float32), scores.astype(np.float32)]


def found_by_core(contract: Contract, outputs: list[np.ndarray]) -> Detections:
    specs = [
        TensorSpec(name=name, shape=value.shape, dtype="float32")
        for name, value in zip(OUTPUTS, outputs, strict=True)
    ]
    return Postprocessor(contract, *specs)(*outputs, WHOLE)


def found_by_graph(contract: Contract, session, specs, outputs: list[np.ndarray]) -> Detections:
    names = [spec.name for spec in specs]
    values = dict(
        zip(names, session.run(names, dict(zip(OUTPUTS, outputs, strict=True))), strict=True)
    )
    for spec in specs:
        assert values[spec.name].shape == spec.shape
        assert values[spec.name].dtype == np.float32
    roles = outputs_by_name(specs)
    assert roles is not None
    count = int(values[roles.count][0])
    # Empty rows are 0.
    for name in (roles.boxes, roles.classes, roles.scores):
        assert not values[name][0, count:].any()
    assert (np.diff(values[roles.scores][0]) <= 0).all()
    return OpPostprocessor(roles, contract.labels, contract.nms)(values, WHOLE)


def assert_same(expected: Detections, found: Detections) -> None:
    assert len(found) == len(expected)
    np.testing.assert_array_equal(found.class_ids, expected.class_ids)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5)
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-2)


@pytest.mark.parametrize("suppression", WAYS)
@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_finds_what_core_finds(
    make_contract: Callable[..., Contract],
    activation: Literal["softmax", "sigmoid"],
    background: bool,
    suppression: Suppression,
) -> None:
    scoring = Scoring(activation=activation, background=background)
    contract = make_contract(scoring=scoring, box_code=BoxCode(centre_variance=0.15))
    session, specs, _ = postprocess_session(contract, suppression)
    for seed in range(4):
        outputs = random_outputs(contract, seed)
        expected = found_by_core(contract, outputs)
        assert len(expected) > 20
        assert_same(expected, found_by_graph(contract, session, specs, outputs))


@pytest.mark.parametrize("suppression", WAYS)
@pytest.mark.parametrize(
    "nms",
    [
        Nms(score_threshold=0.01, iou_threshold=0.3, max_candidates=37, max_detections=9),
        Nms(score_threshold=0.3, iou_threshold=0.7, max_candidates=5, max_detections=200),
        Nms(score_threshold=0.0, iou_threshold=0.0, max_candidates=400, max_detections=1),
        Nms(score_threshold=0.2, iou_threshold=1.0, max_candidates=1, max_detections=2),
    ],
)
def test_limits_are_those_of_the_contract(
    make_contract: Callable[..., Contract], nms: Nms, suppression: Suppression
) -> None:
    contract = make_contract(nms=nms)
    session, specs, _ = postprocess_session(contract, suppression)
    for seed in range(2):
        outputs = random_outputs(contract, seed)
        expected = found_by_core(contract, outputs)
        assert 0 < len(expected) <= nms.max_detections
        assert_same(expected, found_by_graph(contract, session, specs, outputs))


@pytest.mark.parametrize("suppression", WAYS)
def test_an_empty_image_gives_nothing(
    make_contract: Callable[..., Contract], suppression: Suppression
) -> None:
    contract = make_contract()
    session, specs, _ = postprocess_session(contract, suppression)
    codes, scores = random_outputs(contract, 0)
    scores[..., 0] = 50.0  # background
    assert len(found_by_graph(contract, session, specs, [codes, scores])) == 0


@pytest.mark.parametrize("suppression", WAYS)
def test_codes_beyond_all_bounds_stay_numbers(
    make_contract: Callable[..., Contract], suppression: Suppression
) -> None:
    contract = make_contract()
    session, specs, _ = postprocess_session(contract, suppression)
    codes, scores = random_outputs(contract, 0)
    codes[0, ::7, 2:] = 1e6
    assert_same(
        found_by_core(contract, [codes, scores]),
        found_by_graph(contract, session, specs, [codes, scores]),
    )


def test_one_label_and_few_anchors_fill_less_than_the_outputs(
    make_contract: Callable[..., Contract],
) -> None:
    nms = Nms(score_threshold=0.01, iou_threshold=0.5, max_candidates=20, max_detections=90)
    contract = make_contract(labels=("a",), nms=nms)
    for suppression in WAYS:
        session, specs, _ = postprocess_session(contract, suppression)
        assert specs[0].shape == (1, 90, 4)
        outputs = random_outputs(contract, 3)
        expected = found_by_core(contract, outputs)
        assert 0 < len(expected) <= 20
        assert_same(expected, found_by_graph(contract, session, specs, outputs))


def test_the_devices_limit_cuts_the_candidates(make_contract: Callable[..., Contract]) -> None:
    contract = make_contract()
    _, _, model = postprocess_session(contract, "layer", limit=123)
    (layer,) = [node for node in model.graph.node if node.op_type == "NonMaxSuppression"]
    shapes = {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in model.graph.value_info
    }
    # One batch item per label, so that the limit holds for each label alone.
    assert shapes[layer.input[0]] == (3, 123, 4)
    assert shapes[layer.input[1]] == (3, 1, 123)


@pytest.mark.parametrize("suppression", WAYS)
def test_only_two_tensors_have_an_open_shape(
    make_contract: Callable[..., Contract], suppression: Suppression
) -> None:
    _, _, model = postprocess_session(make_contract(), suppression)
    static = {
        value.name
        for value in (*model.graph.value_info, *model.graph.output, *model.graph.input)
        if all(dim.HasField("dim_value") for dim in value.type.tensor_type.shape.dim)
    }
    open_shapes = {name for node in model.graph.node for name in node.output} - static
    expected = {"postprocess.selected", "postprocess.padded_rows"}
    assert open_shapes == (expected if suppression == "layer" else set())
    assert onnx.checker.check_model(model, full_check=True) is None


def test_a_chain_of_suppressions_longer_than_the_rounds_keeps_a_box_too_many_and_loses_none(
    make_contract: Callable[..., Contract],
) -> None:
    contract = make_contract(
        labels=("a",),
        scoring=Scoring(activation="sigmoid", background=False),
        nms=Nms(score_threshold=0.01, iou_threshold=0.45, max_candidates=60, max_detections=60),
    )
    # Boxes in a row in descending order of score; each overlaps the next alone. The first suppresses the
    # second, so the third stays, and so on.
    count = contract.anchors.count
    from edgessd.core.anchors import anchor_boxes
    from edgessd.core.decode import encode_boxes

    chain = 40
    boxes = np.full((count, 4), 0.5, np.float32)
    boxes[:, 2:] = 0.001
    boxes[:chain, 0] = 0.05 + np.arange(chain) * 0.02  # cx; IoU of neighbors 0.5, of the others 0.2
    boxes[:chain, 2] = 0.06
    boxes[:chain, 3] = 0.5
    codes = encode_boxes(boxes, anchor_boxes(contract.anchors), contract.box_code)[None]
    scores = np.full((1, count, 1), -20, np.float32)
    scores[0, :chain, 0] = 3 - np.arange(chain) * 0.05
    expected = found_by_core(contract, [codes, scores])
    assert len(expected) == chain // 2
    found = {}
    for suppression in WAYS:
        session, specs, _ = postprocess_session(contract, suppression)
        found[suppression] = count_found(session, specs, codes, scores)
    assert found["layer"] == len(expected)
    # Sixteen rounds decide the first sixteen boxes; none of the others is suppressed yet.
    assert found["operators"] == 8 + (chain - 16)


def count_found(session, specs, codes: np.ndarray, scores: np.ndarray) -> int:
    count = session.run([specs[3].name], dict(zip(OUTPUTS, (codes, scores), strict=True)))[0]
    return int(count[0])


def test_more_detections_than_tensorrt_sorts_are_refused(
    make_contract: Callable[..., Contract],
) -> None:
    contract = make_contract(nms=Nms(max_detections=4000))
    with pytest.raises(LoweringError, match=r"up to 3840.*4000.*--postprocess raw"):
        postprocess_session(contract, "layer")
