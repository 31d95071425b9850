"""Training normalizes pixels as core's preprocessing does for evaluation, calibration and devices."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch

from edgessd.core.contract import Preprocess
from edgessd.core.preprocess import preprocess_image
from edgessd.core.tensors import TensorSpec
from edgessd.train.augment import augment
from edgessd.train.config import AugmentSettings
from edgessd.train.normalize import Normalize

SIDE = 16
UNCHANGED = AugmentSettings(crop=0, zoom_out=0, photometric=0, flip_horizontal=0)
NORMALIZATIONS = [
    ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    ((128.0, 128.0, 128.0), (128.0, 128.0, 128.0)),
    ((127.0, 127.0, 127.0), (128.0, 128.0, 128.0)),
    ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
    ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
]


@pytest.mark.parametrize("color", ["RGB", "BGR"])
@pytest.mark.parametrize(("mean", "std"), NORMALIZATIONS)
def test_a_batch_equals_the_input_of_every_other_stage(
    mean: tuple[float, ...], std: tuple[float, ...], color: Literal["RGB", "BGR"]
):
    """All 256 values in all channels; an image of the input's size, so that nothing is resampled."""
    contract = Preprocess(width=SIDE, height=SIDE, mean=mean, std=std, color=color)
    values = np.arange(256, dtype=np.uint8).reshape(SIDE, SIDE)
    image = np.stack([values, values[::-1], values.T], axis=-1)
    sample = augment(
        image,
        np.zeros((0, 4), np.float32),
        np.zeros(0, np.int64),
        np.zeros(0, np.bool_),
        preprocess=contract,
        settings=UNCHANGED,
        rng=np.random.default_rng(0),
    )
    batch = Normalize(contract, torch.device("cpu"))(torch.from_numpy(sample.image[None]))
    spec = TensorSpec(name="image", shape=(1, 3, SIDE, SIDE), dtype="float32", layout="NCHW")
    expected, _ = preprocess_image(image, contract, spec)
    assert batch.is_contiguous(memory_format=torch.channels_last)
    # Core rounds once, from float64; float32 arithmetic also rounds the mean and each step, which
    # are errors of at most 256 * 2**-24 each, divided by the deviation.
    largest_error = 3 * 256 * 2.0**-24 / min(std)
    assert np.abs(batch.numpy().astype(np.float64) - expected).max() <= largest_error
