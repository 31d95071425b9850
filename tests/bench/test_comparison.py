"""Comparison of models: agreement, drift, raw outputs, and skipped images."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from edgessd.bench.comparison import Findings, MeasuredModel, compare_models
from edgessd.core.errors import ConfigError, DataError
from edgessd.core.tensors import QuantParams, TensorSpec
from edgessd.metrics.coco import EVALUATION_NMS

INT8 = TensorSpec(
    name="class_scores",
    shape=(1, 4),
    dtype="int8",
    quantization=QuantParams(scale=0.1, zero_point=2),
)
REAL = TensorSpec(name="class_scores", shape=(1, 4), dtype="float32")


def model_of(find, path: str, raw=None, output: TensorSpec | None = None) -> MeasuredModel:
    values = {} if raw is None else {"class_scores": np.array(raw, output.dtype)}
    return MeasuredModel(
        path=path,
        labels=find(np.zeros((120, 160, 3), np.uint8)).labels,
        nms=EVALUATION_NMS,
        run=lambda image: Findings(detections=find(image), raw=values),
        outputs=() if output is None else (output,),
        details={},
    )


@pytest.fixture
def scenes(squares, tmp_path: Path) -> list:
    return [
        squares.paint(tmp_path / "0.png", (10, 10, 50, 50, 0), (80, 20, 140, 100, 1)),
        squares.paint(tmp_path / "1.png", (20, 30, 120, 110, 0)),
        squares.paint(tmp_path / "2.png", (20, 30, 50, 60, 1)),
    ]


def test_agreement_covers_all_images_and_ap_the_labeled_ones(squares, scenes) -> None:
    wide = partial(squares.find_squares, grow=10)
    reference, other = model_of(squares.find_squares, "ref.pt"), model_of(wide, "dist/b")
    truth = {scenes[0].path: scenes[0]}
    result = compare_models(reference, [other], [scene.path for scene in scenes], truth)
    record = json.loads(json.dumps(result.as_json(), allow_nan=False))
    assert (record["images"], record["labelled_images"]) == (3, 1)
    assert record["reference"]["detections"] == 4
    assert record["reference"]["AP"] == pytest.approx(1)
    parity = record["artifacts"]["dist/b"]
    # Labeled: 40 wide found as 50 is IoU .8, at seven of ten thresholds; 60 as 70 is .857, at eight.
    assert parity["AP"] == pytest.approx((0.7 + 0.8) / 2)
    assert parity["max_class_drift"] == pytest.approx(0.3)
    # All: red .8 and .909; green .857 and .75. Greens at .8, .85 match one of two, ranked first.
    assert 0.6 < parity["agreement_AP"] < 0.9
    assert parity["raw_within_1_lsb"] is None


def test_without_labels_there_is_agreement_alone(squares, scenes) -> None:
    models = [model_of(squares.find_squares, name) for name in ("ref.pt", "b", "c")]
    result = compare_models(models[0], models[1:], [scene.path for scene in scenes], {})
    assert list(result.artifacts) == ["b", "c"]
    assert result.artifacts["c"].agreement_AP == pytest.approx(1)
    assert result.artifacts["c"].metrics is None
    assert result.artifacts["c"].max_class_drift is None


def test_raw_outputs_are_compared_on_the_artifacts_grid(squares, scenes) -> None:
    graph = model_of(squares.find_squares, "qdq.onnx", [[0.0, 0.1, 0.2, -0.3]], REAL)
    engine = model_of(squares.find_squares, "engine", [[2, 4, 6, -1]], INT8)  # 0, 1, 2, 0 steps off
    floats = model_of(squares.find_squares, "float.onnx", [[0.01, 0.12, 0.2, -0.3]], REAL)
    images = [scene.path for scene in scenes]
    result = compare_models(graph, [engine, floats], images, {})
    assert result.artifacts["engine"].raw_within_1_lsb == pytest.approx(3 / 4)
    assert result.artifacts["float.onnx"].raw_within_1_lsb is None
    # With the engine as reference, the graph is compared on its grid; a float network never is.
    turned = compare_models(engine, [graph, floats], images, {})
    assert turned.artifacts["qdq.onnx"].raw_within_1_lsb == pytest.approx(3 / 4)
    assert turned.artifacts["float.onnx"].raw_within_1_lsb is None


def test_a_broken_image_is_named_and_left_out(squares, scenes) -> None:
    scenes[1].path.write_bytes(b"no image")
    models = [model_of(squares.find_squares, name) for name in ("ref.pt", "b")]
    result = compare_models(models[0], models[1:], [scene.path for scene in scenes], {})
    assert result.images == 2
    assert "1.png" in result.skipped[0]


def test_other_classes_are_refused(squares, scenes) -> None:
    strange = partial(squares.find_squares, labels=("red", "blue"))
    with pytest.raises(ConfigError, match="different classes"):
        compare_models(
            model_of(squares.find_squares, "ref.pt"),
            [model_of(strange, "b")],
            [scene.path for scene in scenes],
            {},
        )


def test_nothing_to_compare_on_is_refused(squares, tmp_path: Path) -> None:
    models = [model_of(squares.find_squares, name) for name in ("ref.pt", "b")]
    with pytest.raises(DataError, match="no image to compare on"):
        compare_models(models[0], models[1:], [tmp_path / "absent.png"], {})
    empty = squares.paint(tmp_path / "black.png")
    with pytest.raises(DataError, match=r"nothing over 0\.3"):
        compare_models(models[0], models[1:], [empty.path], {})
