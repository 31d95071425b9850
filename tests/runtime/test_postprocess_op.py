"""Outputs of the detection op: identification and conversion to detections."""

from __future__ import annotations

import numpy as np
import pytest

from edgessd.core.contract import Nms
from edgessd.core.errors import BackendError
from edgessd.core.preprocess import ImageTransform
from edgessd.core.tensors import TensorSpec
from edgessd.runtime.postprocess_op import OpOutputs, OpPostprocessor, outputs_by_name


@pytest.mark.parametrize(
    ("names", "boxes"),
    [
        (("output_0", "output_1", "output_2", "output_3"), "output_3"),
        (tuple(f"StatefulPartitionedCall:{n}" for n in range(4)), "StatefulPartitionedCall:3"),
    ],
)
def test_names_of_tensorflow_2_are_in_reverse_order(names: tuple[str, ...], boxes: str) -> None:
    shapes = ((1,), (1, 25), (1, 25), (1, 25, 4))
    specs = [
        TensorSpec(name=name, shape=shape, dtype="float32")
        for name, shape in zip(names, shapes, strict=True)
    ]
    found = outputs_by_name(specs)
    assert found is not None
    assert (found.boxes, found.count) == (boxes, names[0])


def test_names_that_contradict_their_shapes_are_ignored() -> None:
    specs = [
        TensorSpec(name=f"output_{number}", shape=(1, 25), dtype="float32") for number in range(4)
    ]
    assert outputs_by_name(specs) is None


OUTPUTS = OpOutputs(boxes="b", classes="c", scores="s", count="n")


def op_values(classes: list[float], scores: list[float], count: int) -> dict[str, np.ndarray]:
    """Make outputs of the op; rows beyond `count` have arbitrary values."""
    boxes = np.tile(np.array([0.1, 0.2, 0.5, 0.6], np.float32), (len(scores), 1))
    boxes[:, 0] += np.arange(len(scores)) * 0.1
    return {
        "b": boxes[None],
        "c": np.array([classes], np.float32),
        "s": np.array([scores], np.float32),
        "n": np.array([count], np.float32),
    }


def test_rows_beyond_the_count_are_not_detections() -> None:
    postprocess = OpPostprocessor(
        OUTPUTS, ("cat", "dog"), Nms(score_threshold=0.3, iou_threshold=1.0)
    )
    found = postprocess(
        op_values([1, 0, 7], [0.9, 0.2, 0.8], count=2),
        ImageTransform(source_width=200, source_height=100),
    )
    assert list(found.named()) == [("dog", pytest.approx(0.9), pytest.approx((40, 10, 120, 50)))]


def test_nothing_over_the_threshold_is_no_detection() -> None:
    postprocess = OpPostprocessor(OUTPUTS, ("cat",), Nms())
    found = postprocess(
        op_values([0], [0.1], count=1), ImageTransform(source_width=9, source_height=9)
    )
    assert len(found) == 0


def test_a_class_without_label_is_refused() -> None:
    postprocess = OpPostprocessor(OUTPUTS, ("cat",), Nms())
    with pytest.raises(BackendError, match=r"no label.*--labels"):
        postprocess(op_values([1], [0.9], count=1), ImageTransform(source_width=9, source_height=9))


def test_outputs_that_are_not_four_tensors_are_refused() -> None:
    with pytest.raises(BackendError, match="ambiguous"):
        OpOutputs(boxes="a", classes="a", scores="b", count="c")
