"""Names of array types."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ImageArray = NDArray[np.uint8]
"""Pixels of an image, (H, W, 3) BGR unless stated otherwise."""

FloatArray = NDArray[np.float32]
DoubleArray = NDArray[np.float64]
AnyArray = NDArray[np.generic]
