"""A checkpoint detects objects in real photos, one image or several at a time."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgessd.core.contract import Nms
from edgessd.model.checkpoint import Checkpoint, load_model
from edgessd.model.importers.folded import import_folded
from edgessd.model.predictor import BatchPredictor, CheckpointPredictor

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def checkpoint(shared: Path) -> Checkpoint:
    return import_folded(shared / "weights" / "ssdlite_mobilenet_v2_voc")


@pytest.fixture(scope="module")
def frame(shared: Path) -> np.ndarray:
    image = cv2.imread(str(next((shared / "data" / "voc100").rglob("2007_000027.jpg"))))
    assert image is not None
    return image


def test_a_known_photo_has_its_person(checkpoint: Checkpoint, frame: np.ndarray) -> None:
    found = CheckpointPredictor(checkpoint)(frame)
    label, score, (x1, y1, x2, y2) = next(found.named())
    assert (label, score > 0.9) == ("person", True)
    # 2007_000027.xml: a person at (174, 101) to (349, 351) of 486x500.
    truth = np.array([174, 101, 349, 351])
    assert np.abs(np.array([x1, y1, x2, y2]) - truth).max() < 40


def test_raw_outputs_are_the_networks(
    shared: Path, checkpoint: Checkpoint, frame: np.ndarray
) -> None:
    """The reference input is this photo resized by another library, so it is close but not equal."""
    folder = shared / "weights" / "ssdlite_mobilenet_v2_voc"
    raw = BatchPredictor(checkpoint.contract).raw(load_model(checkpoint), [frame])
    with np.load(folder / "reference_outputs.npz") as reference:
        scores = 1 / (1 + np.exp(-raw.class_scores[0]))
        assert np.abs(scores - reference["scores"][0]).max() < 0.15


def test_batches_agree_with_single_frames_and_nms_is_obeyed(
    checkpoint: Checkpoint, frame: np.ndarray
) -> None:
    nms = Nms(score_threshold=0.05, max_detections=7)
    frames = [frame, frame[:, ::-1].copy(), frame[:300, :200].copy()]
    together = BatchPredictor(checkpoint.contract, nms=nms).detect(load_model(checkpoint), frames)
    predictor = CheckpointPredictor(checkpoint, nms=nms)
    for single, batched in zip(map(predictor, frames), together, strict=True):
        assert 0 < len(single) <= 7
        np.testing.assert_array_equal(single.class_ids, batched.class_ids)
        np.testing.assert_allclose(single.boxes, batched.boxes, atol=0.05)
        np.testing.assert_allclose(single.scores, batched.scores, atol=1e-4)
