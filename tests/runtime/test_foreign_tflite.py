"""Foreign .tflite detectors: outputs, labels and preprocessing from the file."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgessd.core.errors import BackendError
from edgessd.core.images import read_image
from edgessd.core.network_tensors import DETECTION_OP
from edgessd.core.preprocess import fill_tensor
from edgessd.core.tensors import QuantParams, TensorSpec
from edgessd.runtime.detector import Detector
from edgessd.runtime.foreign_tflite import distinct_labels, read_foreign_model, read_labels
from edgessd.runtime.postprocess_op import OpOutputs, outputs_by_name

pytestmark = pytest.mark.slow

NAME = "coco_ssd_mobilenet_v1_1.0_quant_2018_06_29"
PLAIN_OUTPUTS = tuple(
    TensorSpec(name=name, shape=shape, dtype="float32")
    for name, shape in (
        (DETECTION_OP, (1, 10, 4)),
        (f"{DETECTION_OP}:1", (1, 10)),
        (f"{DETECTION_OP}:2", (1, 10)),
        (f"{DETECTION_OP}:3", (1,)),
    )
)


@pytest.fixture(scope="module")
def google(shared: Path) -> Path:
    return shared / "data" / "google_ssd_mobilenet_v1_coco"


@pytest.fixture(scope="module")
def with_metadata(google: Path) -> Detector:
    return Detector(google / f"{NAME}.tflite")


@pytest.fixture(scope="module")
def photos_of_coco(shared: Path) -> list[Path]:
    return sorted((shared / "data" / "coco128" / "images" / "val2017").glob("*.jpg"))


def test_labels_are_read_from_the_metadata(with_metadata: Detector) -> None:
    assert with_metadata.notes == ()
    assert len(with_metadata.labels) == 90
    assert with_metadata.labels[0] == "person"
    # COCO never annotated its class 12; number 11 counted from zero.
    assert with_metadata.labels[11] == "class 11"
    assert with_metadata.labels[12] == "stop sign"


def test_a_quantized_input_gets_unchanged_pixels(with_metadata: Detector) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    tensor = fill_tensor(pixels, with_metadata.preprocessing, with_metadata.backend.input)
    np.testing.assert_array_equal(tensor[0], pixels)


def test_both_files_find_the_same(
    google: Path, with_metadata: Detector, photos_of_coco: list[Path]
) -> None:
    with Detector(google / f"{NAME}_no_metadata.tflite") as without:
        assert without.labels == with_metadata.labels
        assert len(without.notes) == 2
        assert "labelmap.txt beside the model" in without.notes[0]
        assert "RGB pixels as they are" in without.notes[1]
        for path in photos_of_coco[:10]:
            image = read_image(path)
            one, other = with_metadata(image), without(image)
            np.testing.assert_array_equal(one.boxes, other.boxes)
            np.testing.assert_array_equal(one.class_ids, other.class_ids)


def test_detections_match_labeled_images(shared: Path, with_metadata: Detector) -> None:
    """Wrong color order, shifted labels or swapped axes would each at least halve this AP."""
    from edgessd.data.dataset import load_dataset
    from edgessd.metrics.coco import coco_metrics

    images = load_dataset(shared / "data" / "coco128").relabeled(with_metadata.labels).split("val")
    with_metadata.score_threshold = 0.01
    found = [with_metadata(read_image(image.path)) for image in images]
    with_metadata.score_threshold = 0.3
    metrics = coco_metrics(images, found, with_metadata.labels)
    assert metrics.AP > 0.2
    assert metrics.AP50 > 0.3


def test_without_labels_classes_are_numbers_with_a_note(google: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.tflite"
    alone.write_bytes((google / f"{NAME}_no_metadata.tflite").read_bytes())
    with Detector(alone) as detector:
        assert detector.labels == tuple(str(number) for number in range(90))
        assert any("--labels" in note for note in detector.notes)


def test_a_given_label_file_has_priority(google: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("\n".join(f"thing {number}" for number in range(90)))
    with Detector(google / f"{NAME}.tflite", labels=mine) as detector:
        assert detector.labels[3] == "thing 3"


def test_a_missing_label_file_is_named(google: Path, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"absent\.txt can't be read"):
        Detector(google / f"{NAME}.tflite", labels=tmp_path / "absent.txt")


def test_a_classifier_is_refused(tiny_bundles, tmp_path: Path) -> None:
    """A raw SSD head outside its bundle can't be decoded."""
    path = tmp_path / "head.tflite"
    path.write_bytes(tiny_bundles["host"].engine_path.read_bytes())
    with pytest.raises(BackendError, match=rf"isn't a detector.*{DETECTION_OP}"):
        Detector(path)


@pytest.mark.parametrize(
    ("op", "fix"),
    [
        ("edgetpu-custom-op", "compiled for the Edge TPU"),
        ("Some_Op_That_Nobody_Knows", "with built-in operators"),
    ],
)
def test_an_op_that_litert_lacks_is_named(google: Path, tmp_path: Path, op: str, fix: str) -> None:
    path = tmp_path / "other.tflite"
    content = (google / f"{NAME}_no_metadata.tflite").read_bytes()
    name = DETECTION_OP.encode()
    path.write_bytes(content.replace(name, op.encode().ljust(len(name), b"\0")))
    with pytest.raises(BackendError, match=rf"LiteRT refuses.*{op}.*{fix}"):
        Detector(path)


def image_spec(dtype: str, quantization: QuantParams | None) -> TensorSpec:
    return TensorSpec(
        name="image", shape=(1, 300, 300, 3), dtype=dtype, quantization=quantization, layout="NHWC"
    )


@pytest.mark.parametrize(("file", "noted"), [(NAME, False), (f"{NAME}_no_metadata", True)])
def test_a_float_input_is_normalized_as_stated_or_from_minus_one_to_one(
    google: Path, file: str, noted: bool
) -> None:
    model = read_foreign_model(
        google / f"{file}.tflite", image_spec("float32", None), PLAIN_OUTPUTS
    )
    assert model.preprocess.mean == (127.5,) * 3
    assert model.preprocess.std == (127.5,) * 3
    assert any("normalization" in note for note in model.notes) == noted


def test_an_int8_input_without_metadata_gets_pixels_minus_128(google: Path) -> None:
    spec = image_spec("int8", QuantParams(scale=0.02, zero_point=-3))
    model = read_foreign_model(google / f"{NAME}_no_metadata.tflite", spec, PLAIN_OUTPUTS)
    pixels = np.arange(256, dtype=np.uint8).repeat(300 * 300 * 3 // 256 + 1)[: 300 * 300 * 3]
    pixels = pixels.reshape(300, 300, 3)
    tensor = fill_tensor(pixels, model.preprocess, spec)
    np.testing.assert_array_equal(tensor[0], (pixels.astype(int) - 128).astype(np.int8))


def test_the_op_identifies_its_outputs_by_their_order(google: Path) -> None:
    """The graph lists the outputs in another order than the op."""
    path = google / f"{NAME}.tflite"
    model = read_foreign_model(
        path, image_spec("uint8", QuantParams(scale=1 / 128, zero_point=128)), PLAIN_OUTPUTS[::-1]
    )
    assert model.outputs == OpOutputs(
        boxes=DETECTION_OP,
        classes=f"{DETECTION_OP}:1",
        scores=f"{DETECTION_OP}:2",
        count=f"{DETECTION_OP}:3",
    )


def test_a_signature_identifies_the_outputs_without_an_op(tiny_bundles, tmp_path: Path) -> None:
    """A compiled model has lost the op and its tensors' names, and kept TensorFlow 2's signature."""
    bundle = tiny_bundles["android"]
    unknown = "X" * len(DETECTION_OP)
    path = tmp_path / "compiled.tflite"
    content = bundle.engine_path.read_bytes().replace(DETECTION_OP.encode(), unknown.encode())
    path.write_bytes(content)
    labels = tmp_path / "labels.txt"
    labels.write_text("cat\ndog\nbird\n")
    engine = bundle.manifest.engine
    outputs = tuple(
        msgspec.structs.replace(spec, name=spec.name.replace(DETECTION_OP, unknown))
        for spec in engine.outputs
    )
    assert outputs_by_name(outputs) is None
    model = read_foreign_model(path, engine.inputs[0], outputs[::-1], labels_file=labels)
    boxes, classes, scores, count = (spec.name for spec in outputs)
    assert model.outputs == OpOutputs(boxes=boxes, classes=classes, scores=scores, count=count)


@pytest.mark.parametrize(
    ("lines", "classes", "expected"),
    [
        (["person", "car"], 2, ("person", "car")),
        # One line too many, and the first stands for the background that the op doesn't count.
        (["???", "person", "car"], 2, ("person", "car")),
        (["background", "person", "car"], 2, ("person", "car")),
        # Not one too many: the first class has no name.
        (["???", "person"], 2, ("class 0", "person")),
        (["person", "???", "car"], 3, ("person", "class 1", "car")),
        # The file ends with the last class that has a name.
        (["person"], 3, ("person", "class 1", "class 2")),
        (["???", "person"], None, ("person",)),
    ],
)
def test_class_k_is_label_k(
    lines: list[str], classes: int | None, expected: tuple[str, ...]
) -> None:
    assert distinct_labels(lines, classes, Path("m.tflite")) == expected


def test_labels_that_occur_twice_are_refused() -> None:
    with pytest.raises(BackendError, match=r"aren't distinct.*car"):
        distinct_labels(["car", "dog", "car"], 3, Path("m.tflite"))


def test_numbered_label_files_keep_their_gaps(tmp_path: Path) -> None:
    path = tmp_path / "coco_labels.txt"
    path.write_text("0  person\n1  bicycle\n3  stop sign\n")
    assert read_labels(path) == ["person", "bicycle", "???", "stop sign"]


def test_label_files_may_have_words_with_digits(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("3 of clubs\nqueen of hearts\n")
    assert read_labels(path) == ["3 of clubs", "queen of hearts"]


def test_an_empty_label_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("\n\n")
    with pytest.raises(BackendError, match="is empty"):
        read_labels(tmp_path / "labels.txt")
