"""Agreement of two detectors, and of raw outputs within one step."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from detection_rows import found

from edgessd.core.errors import ConfigError, DataError
from edgessd.core.tensors import QuantParams, TensorSpec
from edgessd.metrics.parity import (
    RawAgreement,
    agreement_ap,
    max_class_drift,
    on_grid,
    real_values,
    relabeled,
)

LABELS = ("a", "b")
GRID = TensorSpec(
    name="x", shape=(1, 4), dtype="int8", quantization=QuantParams(scale=0.1, zero_point=5)
)


def test_a_detector_agrees_with_itself() -> None:
    items = [found([0, 0, 50, 50, 0, 0.9], [9, 9, 60, 60, 1, 0.4], [1, 1, 5, 5, 0, 0.02]), found()]
    assert agreement_ap(items, items) == pytest.approx(1)


def test_only_the_references_detections_over_the_score_are_ground_truth() -> None:
    reference = [found([0, 0, 50, 50, 0, 0.9], [100, 0, 150, 50, 0, 0.3])]
    assert agreement_ap(reference, [found([0, 0, 50, 50, 0, 0.05])]) == pytest.approx(1)
    # Found with more confidence than the sure one, the unsure one is a false alarm.
    unsure_first = [found([100, 0, 150, 50, 0, 0.9], [0, 0, 50, 50, 0, 0.8])]
    assert agreement_ap(reference, unsure_first) == pytest.approx(0.5)


def test_agreement_falls_with_the_overlap() -> None:
    reference = [found([0, 0, 100, 100, 0, 0.9])]
    assert agreement_ap(reference, [found([0, 0, 75, 100, 0, 0.9])]) == pytest.approx(0.6)


def test_labels_in_another_order_are_matched_by_name() -> None:
    reference = [found([0, 0, 50, 50, 0, 0.9])]
    turned = [found([0, 0, 50, 50, 1, 0.9], labels=("b", "a"))]
    assert agreement_ap(reference, turned) == pytest.approx(1)
    assert relabeled(turned[0], LABELS).class_ids.tolist() == [0]


def test_other_classes_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"Expected a, b\. Found a, c\."):
        agreement_ap([found([0, 0, 50, 50, 0, 0.9])], [found(labels=("a", "c"))])


def test_a_reference_without_a_detection_over_the_score_is_refused() -> None:
    with pytest.raises(DataError, match=r"nothing over 0\.3"):
        agreement_ap([found([0, 0, 50, 50, 0, 0.3])], [found()])


def test_one_step_apart_is_within_and_two_are_not() -> None:
    raw = np.array([[5, 6, 7, -128]], np.int8)
    reference = real_values({"x": raw}, [GRID])
    np.testing.assert_allclose(reference["x"], [[0, 0.1, 0.2, -13.3]])
    other = real_values({"x": np.array([[6, 8, 7, -127]], np.int8)}, [GRID])
    agreement = RawAgreement()
    agreement.add(reference, other, [GRID])
    agreement.add(reference, reference, [GRID])
    assert agreement.share == pytest.approx(7 / 8)


def test_float32_outputs_of_a_quantized_graph_lie_on_its_grid() -> None:
    integers = np.arange(-128, 128)
    values = (integers.astype(np.float32) - np.float32(5)) * np.float32(0.1)
    np.testing.assert_array_equal(on_grid(values, GRID), integers)


@pytest.mark.parametrize(
    "values",
    [
        [[0.0, 0.1, 0.25, 0.3]],
        [[0.0, 0.1, 0.2, 99.0]],
        [[0.0, 0.11, 0.22, 0.33]],
        [[0.0, 0.1, 0.2]],
    ],
    ids=["between steps", "beyond the range", "another scale", "another size"],
)
def test_values_off_the_grid_are_not_compared(values) -> None:
    zeros = np.zeros((1, 4))
    agreement = RawAgreement()
    agreement.add({"x": zeros}, {"x": zeros}, [GRID])
    agreement.add({"x": zeros}, {"x": np.array(values)}, [GRID])
    agreement.add({"x": zeros}, {"x": zeros}, [GRID])
    assert agreement.share is None


def test_without_quantized_outputs_there_is_no_share() -> None:
    assert RawAgreement().share is None
    with pytest.raises(ValueError, match="isn't quantized"):
        on_grid(np.zeros(4), msgspec.structs.replace(GRID, quantization=None, dtype="float32"))


def test_drift_is_the_largest_of_any_class() -> None:
    first = {"a": {"AP": 0.5}, "b": {"AP": None}, "c": {"AP": 0.2}}
    second = {"a": {"AP": 0.45}, "b": {"AP": None}, "c": {"AP": 0.3}}
    assert max_class_drift(first, second) == pytest.approx(0.1)
