"""Augmentation: boxes stay on their objects under every change of the picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgessd.core.boxes import iou_matrix
from edgessd.core.contract import Preprocess
from edgessd.core.preprocess import fit_image
from edgessd.train.augment import Sample, augment
from edgessd.train.config import AugmentSettings

NOTHING = AugmentSettings(crop=0, zoom_out=0, photometric=0, flip_horizontal=0)
GEOMETRY = AugmentSettings(
    crop=0.5, zoom_out=0.5, zoom_out_max=3, photometric=0, flip_vertical=0.5, transpose=0.5
)
INPUT = Preprocess(width=120, height=90)
LETTERBOX = Preprocess(width=120, height=120, resize="letterbox")
NONE = np.zeros(0, np.bool_)


def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A dark picture of 200x160 with one red, one green and one blue rectangle."""
    image = np.full((160, 200, 3), 20, np.uint8)
    boxes = np.array([[20, 30, 70, 90], [110, 20, 180, 60], [90, 100, 150, 150]], np.float32)
    for channel, (x1, y1, x2, y2) in enumerate(boxes.astype(int)):
        image[y1:y2, x1:x2, channel] = 255
    return image, boxes, np.arange(3)


def run(settings: AugmentSettings, seed: int, preprocess: Preprocess = INPUT) -> Sample:
    image, boxes, class_ids = scene()
    return augment(
        image,
        boxes,
        class_ids,
        np.zeros(3, np.bool_),
        preprocess=preprocess,
        settings=settings,
        rng=np.random.default_rng(seed),
    )


@pytest.mark.parametrize("preprocess", [INPUT, LETTERBOX], ids=["stretch", "letterbox"])
def test_without_augmentation_it_equals_the_preprocessing(preprocess: Preprocess):
    image = cv2.GaussianBlur(
        np.random.default_rng(3).integers(0, 256, (160, 200, 3), np.uint8), (0, 0), 5
    )
    boxes = np.array([[20, 30, 70, 90]], np.float32)
    sample = augment(
        image,
        boxes,
        np.zeros(1, np.int64),
        np.zeros(1, np.bool_),
        preprocess=preprocess,
        settings=NOTHING,
        rng=np.random.default_rng(0),
    )
    expected, transform = fit_image(image, preprocess)
    inner = (slice(16, -16), slice(2, -2))  # letterbox bars meet the picture within one pixel
    difference = np.abs(sample.image.astype(int) - expected.astype(int))[inner]
    assert difference.max() <= 2
    np.testing.assert_allclose(transform.to_source(sample.boxes), boxes, atol=1e-3)


@pytest.mark.parametrize("preprocess", [INPUT, LETTERBOX], ids=["stretch", "letterbox"])
def test_boxes_stay_on_their_objects(preprocess: Preprocess):
    seen = 0
    for seed in range(150):
        sample = run(GEOMETRY, seed, preprocess)
        for box, class_id, ignore in zip(
            sample.boxes, sample.class_ids, sample.ignore, strict=True
        ):
            if ignore:
                continue
            # Class k is painted in BGR channel k; the sample is RGB.
            rows, columns = np.nonzero(sample.image[..., 2 - class_id] > 137)
            painted = np.array(
                [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32
            )
            size = np.array([preprocess.width, preprocess.height] * 2, np.float32)
            sides = (box * size)[2:] - (box * size)[:2]
            # The painted extent is whole pixels, the box isn't: one pixel on each axis is allowed.
            allowed = np.prod(np.maximum(sides - 1, 0) / (sides + 1))
            assert iou_matrix((box * size)[None], painted)[0, 0] >= allowed - 1e-3, seed
            seen += 1
    assert seen > 150


def test_each_flip_swaps_its_axis():
    _, boxes, _ = scene()
    settings = {
        "flip_horizontal": lambda x, y: (1 - x, y),
        "flip_vertical": lambda x, y: (x, 1 - y),
        "transpose": lambda x, y: (y, x),
    }
    for name, moved in settings.items():
        only = AugmentSettings(
            **{"crop": 0, "zoom_out": 0, "photometric": 0, "flip_horizontal": 0, name: 1}
        )
        sample = run(only, 0)
        fractions = boxes / np.array([200, 160, 200, 160], np.float32)
        for before, after in zip(fractions, sample.boxes, strict=True):
            corners = np.array([moved(before[0], before[1]), moved(before[2], before[3])])
            expected = np.concatenate([corners.min(0), corners.max(0)])
            np.testing.assert_allclose(after, expected, atol=1e-5)


def test_a_box_whose_center_is_outside_is_ignored():
    cut = 0
    for seed in range(200):
        sample = run(AugmentSettings(crop=1, zoom_out=0, photometric=0), seed)
        assert (sample.boxes >= 0).all()
        assert (sample.boxes <= 1).all()
        assert (~sample.ignore).any(), "a patch always holds a box to learn"
        cut += int(sample.ignore.sum())
    assert cut > 10


def test_zoom_out_makes_objects_smaller_and_keeps_all():
    settings = AugmentSettings(crop=0, zoom_out=1, zoom_out_max=4, photometric=0)
    plain = run(NOTHING, 0)
    areas = np.prod(plain.boxes[:, 2:] - plain.boxes[:, :2], axis=1)
    for seed in range(20):
        sample = run(settings, seed)
        smaller = np.prod(sample.boxes[:, 2:] - sample.boxes[:, :2], axis=1)
        assert len(sample.boxes) == 3
        assert (smaller < areas).all()


def test_photometric_changes_pixels_and_no_box():
    settings = AugmentSettings(
        crop=0, zoom_out=0, photometric=1, flip_horizontal=0, noise=6, blur=0.5
    )
    plain = run(NOTHING, 0)
    for seed in range(10):
        sample = run(settings, seed)
        assert sample.image.dtype == np.uint8
        assert (sample.image != plain.image).any()
        np.testing.assert_array_equal(sample.boxes, plain.boxes)


def test_the_same_generator_gives_the_same_sample():
    first, again, other = (run(GEOMETRY, seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.boxes, again.boxes)
    assert (first.image != other.image).any()


def test_an_image_without_boxes_is_augmented_too():
    image, _, _ = scene()
    for seed in range(20):
        sample = augment(
            image,
            np.zeros((0, 4), np.float32),
            np.zeros(0, np.int64),
            NONE,
            preprocess=INPUT,
            settings=GEOMETRY,
            rng=np.random.default_rng(seed),
        )
        assert sample.image.shape == (90, 120, 3)
        assert sample.boxes.shape == (0, 4)
