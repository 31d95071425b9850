"""`Detector`: stages, suppression, closing, and the answers of its engines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgessd.bundle.store import Bundle
from edgessd.core.contract import Nms
from edgessd.core.errors import BackendError, ConfigError
from edgessd.core.images import list_images, read_image
from edgessd.runtime.detector import Detector

Bundles = dict[str, Bundle]
# An untrained head gives similar scores to all anchors, so the threshold is low.
EAGER = Nms(score_threshold=0.2, iou_threshold=0.5)


@pytest.fixture
def photo(photos: Path) -> np.ndarray:
    return read_image(list_images(photos)[0])


def test_a_float_bundle_finds_what_its_checkpoint_finds(
    tiny_bundles: Bundles, tiny_checkpoint: Path, photo: np.ndarray
) -> None:
    from edgessd.model.checkpoint import load_checkpoint
    from edgessd.model.predictor import CheckpointPredictor

    expected = CheckpointPredictor(load_checkpoint(tiny_checkpoint), nms=EAGER)(photo)
    with Detector(tiny_bundles["host-float"].directory, nms=EAGER) as detector:
        found = detector(photo)
    assert len(found) == len(expected) > 0
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)
    np.testing.assert_allclose(np.sort(found.boxes, 0), np.sort(expected.boxes, 0), atol=0.05)


def test_the_op_finds_what_the_raw_outputs_decode_to(tiny_bundles: Bundles, photos: Path) -> None:
    """TFLite's decoder in the engine and edgessd's decode the same integers."""
    raw, op = (Detector(tiny_bundles[name].directory) for name in ("host", "android"))
    raw.nms = msgspec.structs.replace(raw.nms, score_threshold=0.3)
    assert op.model.ends_in_op
    assert not raw.model.ends_in_op
    compared = 0
    for path in list_images(photos):
        image = read_image(path)
        ours, theirs = raw(image), op(image)
        for box, score in zip(theirs.boxes[:3], theirs.scores[:3], strict=True):
            # One rounding step of the scores may reorder boxes, so a box nearby must exist.
            near = np.abs(ours.boxes - box).max(axis=1) < 3
            assert (np.abs(ours.scores[near] - score) < 0.05).any(), path
            compared += 1
    raw.close()
    op.close()
    assert compared > 0


def test_the_three_stages_give_what_a_call_gives(tiny_bundles: Bundles, photo: np.ndarray) -> None:
    with Detector(tiny_bundles["host"].directory, nms=EAGER) as detector:
        whole = detector(photo)
        tensor, transform = detector.preprocess(photo)
        again, _ = detector.preprocess(photo, out=np.empty_like(tensor))
        np.testing.assert_array_equal(tensor, again)
        found = detector.postprocess(detector.infer(tensor), transform)
    np.testing.assert_array_equal(whole.boxes, found.boxes)
    assert transform.source_width == photo.shape[1]


def test_a_detector_describes_itself(tiny_bundles: Bundles) -> None:
    with Detector(tiny_bundles["host"].directory, threads=1) as detector:
        assert (detector.name, detector.target, detector.model.scheme) == ("tiny", "host", "affine")
        assert detector.labels == ("cat", "dog", "bird")
        assert detector.input_size == (96, 96)
        assert detector.model.engine_path.name == "engine.tflite"
        assert detector.details["backend"] == "litert"
        assert detector.details["threads"] == 1


def test_suppression_can_be_changed_between_frames(
    tiny_bundles: Bundles, photo: np.ndarray
) -> None:
    with Detector(tiny_bundles["host"].directory, nms=EAGER) as detector:
        assert len(detector(photo)) > 0
        detector.score_threshold = 1.0
        assert detector.nms == msgspec.structs.replace(EAGER, score_threshold=1.0)
        assert len(detector(photo)) == 0
        with pytest.raises(ConfigError, match="out of range"):
            detector.score_threshold = 2


def test_a_second_close_does_nothing(tiny_bundles: Bundles, photo: np.ndarray) -> None:
    detector = Detector(tiny_bundles["host"].directory)
    detector.close()
    detector.close()
    with pytest.raises(BackendError, match="closed"):
        detector(photo)


def test_running_loads_neither_torch_nor_onnx(tiny_bundles: Bundles) -> None:
    """A Raspberry Pi has neither installed."""
    program = (
        "import sys, numpy\n"
        "from edgessd import Detector\n"
        "for model, backend in zip(sys.argv[1::2], sys.argv[2::2]):\n"
        "    Detector(model, backend=backend)(numpy.zeros((60, 80, 3), numpy.uint8))\n"
        "heavy = {'torch', 'onnx', 'onnxsim', 'matplotlib', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    models = [
        argument
        for name, backend in (
            ("host", "litert"),
            ("android", "litert"),
            ("host-float", "onnxruntime"),
            ("jetson-orin-nano", "onnxruntime"),
        )
        for argument in (str(tiny_bundles[name].directory), backend)
    ]
    subprocess.run([sys.executable, "-c", program, *models], check=True)
