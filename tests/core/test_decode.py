"""Box codes and post-processing: the integer path gives the same bits as the float path."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgessd.core.anchors import AnchorSpec, anchor_boxes, ssd_levels
from edgessd.core.boxes import clip_boxes, cxcywh_to_xyxy, iou_matrix, xyxy_to_cxcywh
from edgessd.core.contract import BoxCode, Contract, Nms, Preprocess, Scoring
from edgessd.core.decode import Postprocessor, activate_scores, decode_boxes, encode_boxes
from edgessd.core.errors import ConfigError
from edgessd.core.preprocess import ImageTransform
from edgessd.core.tensors import QuantParams, TensorSpec

ANCHORS = AnchorSpec(
    levels=ssd_levels(grids=[(4, 5), (2, 2)], scales=[0.2, 0.5, 0.9], ratios=[[2], [2, 3]])
)
COUNT = ANCHORS.count
TRANSFORM = ImageTransform(source_width=320, source_height=240)


def contract_of(scoring: Scoring, labels: int = 3, nms: Nms | None = None) -> Contract:
    return Contract(
        preprocess=Preprocess(width=64, height=64),
        anchors=ANCHORS,
        labels=tuple(f"label {index}" for index in range(labels)),
        scoring=scoring,
        nms=nms or Nms(),
    )


def outputs_of(
    columns: int,
    dtype: str = "float32",
    scores: QuantParams | None = None,
    codes: QuantParams | None = None,
) -> tuple[TensorSpec, TensorSpec]:
    return (
        TensorSpec(name="box_codes", shape=(1, COUNT, 4), dtype=dtype, quantization=codes),
        TensorSpec(
            name="class_scores", shape=(1, COUNT, columns), dtype=dtype, quantization=scores
        ),
    )


def real(values: np.ndarray, quantization: QuantParams) -> np.ndarray:
    """Dequantize like `DequantizeLinear`, in float32."""
    shifted = values.astype(np.float32) - np.float32(quantization.zero_point)
    return shifted * np.float32(quantization.scale)


def by_definition(contract: Contract, codes: np.ndarray, logits: np.ndarray) -> list[tuple]:
    """Postprocess float32 outputs by the contract's definition, without any shortcut."""
    first = int(contract.scoring.background)
    scores = activate_scores(logits[0], contract.scoring)[:, first:]
    boxes = decode_boxes(codes[0], anchor_boxes(contract.anchors), contract.box_code)
    chosen = []
    for class_id in range(scores.shape[1]):
        passing = [
            a for a in range(len(scores)) if scores[a, class_id] > contract.nms.score_threshold
        ]
        passing.sort(key=lambda anchor: (-scores[anchor, class_id], anchor))
        kept: list[int] = []
        for anchor in passing[: contract.nms.max_candidates]:
            if all(
                iou_matrix(boxes[None, anchor], boxes[None, other])[0, 0]
                <= contract.nms.iou_threshold
                for other in kept
            ):
                kept.append(anchor)
        chosen += [(-float(scores[anchor, class_id]), anchor, class_id) for anchor in kept]
    chosen.sort()
    found = []
    for score, anchor, class_id in chosen[: contract.nms.max_detections]:
        box = clip_boxes(boxes[anchor] * np.float32([320, 240, 320, 240]), 320, 240)
        if box[2] > box[0] and box[3] > box[1]:
            found.append((class_id, -score, box.tolist()))
    return found


@pytest.mark.parametrize("code", [BoxCode(), BoxCode(centre_variance=1.0, size_variance=1.0)])
def test_encoding_and_decoding_are_inverse(code) -> None:
    random = np.random.default_rng(0)
    anchors = anchor_boxes(ANCHORS)
    boxes = np.hstack([random.uniform(0, 1, (COUNT, 2)), random.uniform(0.01, 2, (COUNT, 2))])
    boxes = boxes.astype(np.float32)
    decoded = decode_boxes(encode_boxes(boxes, anchors, code), anchors, code)
    np.testing.assert_allclose(xyxy_to_cxcywh(decoded), boxes, atol=2e-6)


def test_a_code_worked_by_hand() -> None:
    anchor = np.array([[0.5, 0.5, 0.2, 0.4]], np.float32)
    # The center moves by 1 * 0.1 * 0.2 and -2 * 0.1 * 0.4; width doubles, height halves.
    codes = np.array([[1, -2, math.log(2) / 0.2, math.log(0.5) / 0.2]], np.float32)
    boxes = decode_boxes(codes, anchor, BoxCode())
    np.testing.assert_allclose(boxes, [[0.32, 0.32, 0.72, 0.52]], atol=1e-6)


def test_codes_of_a_batch_share_the_anchors() -> None:
    codes = np.random.default_rng(1).normal(0, 1, (2, COUNT, 4)).astype(np.float32)
    anchors = anchor_boxes(ANCHORS)
    both = decode_boxes(codes, anchors, BoxCode())
    np.testing.assert_array_equal(both[1], decode_boxes(codes[1], anchors, BoxCode()))


def test_a_huge_size_code_gives_a_finite_box() -> None:
    codes = np.full((1, 4), 1e6, np.float32)
    assert np.isfinite(decode_boxes(codes, np.full((1, 4), 0.5, np.float32), BoxCode())).all()


def test_activations_are_stable_and_right() -> None:
    logits = np.array([[-200.0, 0.0, 200.0]], np.float32)
    np.testing.assert_allclose(
        activate_scores(logits, Scoring(activation="sigmoid", background=False)), [[0, 0.5, 1]]
    )
    softmax = activate_scores(logits, Scoring(activation="softmax"))
    np.testing.assert_allclose(softmax, [[0, 0, 1]], atol=1e-30)
    assert activate_scores(np.zeros((2, 4), np.float32), Scoring()).tolist() == [[0.25] * 4] * 2


SCORINGS = [
    Scoring(activation="softmax", background=True),
    Scoring(activation="softmax", background=False),
    Scoring(activation="sigmoid", background=True),
    Scoring(activation="sigmoid", background=False),
]


@settings(max_examples=120, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    scoring=st.sampled_from(SCORINGS),
    dtype=st.sampled_from(["int8", "uint8"]),
    threshold=st.sampled_from([0.0, 1e-6, 0.01, 0.25, 0.3, 0.5, 0.9, 0.9999, 1.0]),
    scale=st.sampled_from([0.004, 0.05, 0.11, 0.9]),
    coarse=st.booleans(),
)
def test_integers_give_what_their_real_values_give(
    seed, scoring, dtype, threshold, scale, coarse
) -> None:
    random = np.random.default_rng(seed)
    limits = np.iinfo(dtype)
    nms = Nms(score_threshold=threshold, max_candidates=20, max_detections=30)
    contract = contract_of(scoring, nms=nms)
    # Few distinct values make ties; extremes saturate.
    low, high = (limits.min, limits.max + 1)
    if coarse:
        values = np.array([limits.min, limits.min + 1, 0, 60, 100, limits.max])
        raw_scores = random.choice(values, (1, COUNT, contract.columns)).astype(dtype)
    else:
        raw_scores = random.integers(low, high, (1, COUNT, contract.columns)).astype(dtype)
    raw_codes = random.integers(low, high, (1, COUNT, 4)).astype(dtype)
    scores = QuantParams(scale=scale, zero_point=int(random.integers(low, high)))
    codes = QuantParams(scale=0.05, zero_point=int(random.integers(low, high)))

    integers = Postprocessor(contract, *outputs_of(contract.columns, dtype, scores, codes))
    floats = Postprocessor(contract, *outputs_of(contract.columns))
    found = integers(raw_codes, raw_scores, TRANSFORM)
    real_codes, real_scores = real(raw_codes, codes), real(raw_scores, scores)
    again = floats(real_codes, real_scores, TRANSFORM)

    np.testing.assert_array_equal(found.boxes, again.boxes)
    np.testing.assert_array_equal(found.scores, again.scores)
    np.testing.assert_array_equal(found.class_ids, again.class_ids)
    expected = by_definition(contract, real_codes, real_scores)
    assert [(int(c), float(s)) for c, s in zip(found.class_ids, found.scores, strict=True)] == [
        (class_id, score) for class_id, score, _ in expected
    ]
    boxes = np.array([box for _, _, box in expected], np.float32).reshape(-1, 4)
    np.testing.assert_array_equal(found.boxes, boxes)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_a_score_must_exceed_the_threshold(dtype) -> None:
    """With sigmoid, logit 0 is exactly 0.5: one integer step decides."""
    contract = contract_of(
        Scoring(activation="sigmoid", background=False), labels=1, nms=Nms(score_threshold=0.5)
    )
    zero_point = 3
    scores, codes = QuantParams(scale=0.1, zero_point=zero_point), QuantParams(scale=0.1)
    process = Postprocessor(contract, *outputs_of(1, dtype, scores, codes))
    raw_codes, raw = np.zeros((1, COUNT, 4), dtype), np.zeros((1, COUNT, 1), dtype)
    raw[0, 2, 0] = zero_point
    assert len(process(raw_codes, raw, TRANSFORM)) == 0
    raw[0, 2, 0] = zero_point + 1
    found = process(raw_codes, raw, TRANSFORM)
    assert found.scores.tolist() == pytest.approx([1 / (1 + math.exp(-0.1))])


def test_a_softmax_tie_with_the_background_is_half_and_does_not_pass() -> None:
    contract = contract_of(Scoring(), labels=1, nms=Nms(score_threshold=0.5))
    process = Postprocessor(contract, *outputs_of(2))
    scores = np.zeros((1, COUNT, 2), np.float32)
    assert len(process(np.zeros((1, COUNT, 4), np.float32), scores, TRANSFORM)) == 0
    scores[0, 0, 1] = 1e-3
    assert len(process(np.zeros((1, COUNT, 4), np.float32), scores, TRANSFORM)) == 1


def test_no_score_over_the_threshold_gives_no_detection() -> None:
    contract = contract_of(Scoring())
    quantized = outputs_of(4, "int8", QuantParams(scale=0.1), QuantParams(scale=0.1))
    scores = np.full((1, COUNT, 4), -128, np.int8)
    scores[..., 0] = 127
    found = Postprocessor(contract, *quantized)(np.zeros((1, COUNT, 4), np.int8), scores, TRANSFORM)
    assert len(found) == 0
    assert found.labels == contract.labels
    assert found.boxes.dtype == np.float32


def test_the_background_is_never_found() -> None:
    contract = contract_of(Scoring(activation="sigmoid", background=True), labels=2)
    scores = np.full((1, COUNT, 3), -9, np.float32)
    scores[..., 0] = 9
    scores[0, 5, 2] = 2
    found = Postprocessor(contract, *outputs_of(3))(
        np.zeros((1, COUNT, 4), np.float32), scores, TRANSFORM
    )
    assert [label for label, _, _ in found.named()] == ["label 1"]
    anchor = cxcywh_to_xyxy(anchor_boxes(ANCHORS))[5:6]
    np.testing.assert_allclose(found.boxes, clip_boxes(anchor * [320, 240, 320, 240], 320, 240))


def test_a_box_outside_the_image_is_left_out() -> None:
    """A box in the bars of a letterboxed image has no place in the source."""
    contract = contract_of(Scoring(activation="sigmoid", background=False), labels=1)
    bars = ImageTransform(source_width=100, source_height=10, top=0.45, height=0.1)
    scores = np.full((1, COUNT, 1), -9, np.float32)
    scores[0, 0, 0] = 5  # the first anchor lies at the top
    codes = np.zeros((1, COUNT, 4), np.float32)
    process = Postprocessor(contract, *outputs_of(1))
    assert len(process(codes, scores, bars)) == 0
    assert len(process(codes, scores, TRANSFORM)) == 1


@pytest.mark.parametrize("nan", [np.nan, -np.inf])
def test_nan_scores_give_no_detection(nan) -> None:
    contract = contract_of(Scoring(activation="sigmoid", background=False), labels=1)
    process = Postprocessor(contract, *outputs_of(1))
    scores = np.full((1, COUNT, 1), nan, np.float32)
    assert len(process(np.zeros((1, COUNT, 4), np.float32), scores, TRANSFORM)) == 0


def test_half_precision_outputs_are_decoded_too() -> None:
    contract = contract_of(Scoring())
    random = np.random.default_rng(3)
    codes = random.normal(0, 1, (1, COUNT, 4)).astype(np.float16)
    scores = random.normal(0, 2, (1, COUNT, 4)).astype(np.float16)
    half = Postprocessor(contract, *outputs_of(4, "float16"))(codes, scores, TRANSFORM)
    single = Postprocessor(contract, *outputs_of(4))(
        codes.astype(np.float32), scores.astype(np.float32), TRANSFORM
    )
    assert len(single) > 0
    np.testing.assert_array_equal(half.boxes, single.boxes)


def test_outputs_that_do_not_fit_the_contract_are_refused() -> None:
    contract = contract_of(Scoring())
    codes, scores = outputs_of(4)
    with pytest.raises(ConfigError, match="anchors and labels"):
        Postprocessor(contract, codes, outputs_of(5)[1])
    with pytest.raises(ConfigError, match="anchors and labels"):
        Postprocessor(contract, outputs_of(3)[1], scores)
    with pytest.raises(ConfigError, match="can't be read as numbers"):
        Postprocessor(contract, codes, outputs_of(4, "int8")[1])
    with pytest.raises(ConfigError, match="can't be read as numbers"):
        Postprocessor(contract, codes, outputs_of(4, "int64")[1])
    process = Postprocessor(contract, codes, scores)
    with pytest.raises(ConfigError, match="another type"):
        process(np.zeros((1, COUNT, 4), np.float32), np.zeros((1, COUNT, 4), np.int8), TRANSFORM)
