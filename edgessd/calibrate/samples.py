"""Samples: a few calibration images at the network's size.

Equalization and learned rounding observe the network on real images. A few are enough, because each has
thousands of positions, and as uint8 they are small.
"""

from __future__ import annotations

import numpy as np

from edgessd.calibrate.calibration_set import SAMPLES, CalibrationSet, Pixels, evenly
from edgessd.core.arrays import FloatArray
from edgessd.core.contract import Contract, Preprocess
from edgessd.core.errors import DataError
from edgessd.core.network_tensors import image_spec
from edgessd.core.preprocess import fill_tensor

KEPT = 16
"""Number of samples in a calibration table, 4 MB at 300x300. Rounding learned from 32 is no better."""


def draw_samples(images: CalibrationSet, contract: Contract, *, count: int = SAMPLES) -> Pixels:
    """Return (n, 3, H, W) pixels of up to `count` images, spread evenly over their sorted names.

    Images that can't be read are left out here; `collect` names them with their reason.
    """
    planes = []
    for path in evenly(images.paths, count):
        try:
            pixels = images.network_pixels(path, contract.preprocess)
        except DataError:
            continue
        planes.append(pixels.transpose(2, 0, 1))
    return np.stack(planes) if planes else no_samples(contract.preprocess)


def no_samples(preprocess: Preprocess) -> Pixels:
    """Return no samples, in the right shape."""
    return np.zeros((0, 3, preprocess.height, preprocess.width), np.uint8)


def network_input(pixels: Pixels, preprocess: Preprocess) -> FloatArray:
    """Return the network's input (1, 3, H, W) float32 of one sample (3, H, W)."""
    upright = np.ascontiguousarray(pixels.transpose(1, 2, 0))
    return np.asarray(fill_tensor(upright, preprocess, image_spec(preprocess)), np.float32)
