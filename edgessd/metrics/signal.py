"""How much of a tensor's signal another form of the network keeps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]
Doubles = NDArray[np.float64]

EXACT_DB = 120.0
"""Reported where nothing at all differs, in float32's own precision."""


@dataclass(slots=True)
class SignalToNoise:
    """Signal-to-noise ratio of a tensor, gathered image by image.

    Equalization multiplies channels by constants, so a tensor is compared up to the gain that fits each
    channel best: what is left is what can't be undone.

    Attributes:
        channels: Length of the channel axis: 1 of (1, C, H, W), the last of anything else.
    """

    channels: int
    _reference: Doubles
    _product: Doubles
    _found: Doubles

    @classmethod
    def over(cls, channels: int) -> SignalToNoise:
        """Nothing gathered yet."""
        return cls(channels, *(np.zeros(channels) for _ in range(3)))

    def add(self, reference: Array, found: Array) -> None:
        """Take in one image's tensors of the same shape, real values."""
        first, second = (_by_channel(values) for values in (reference, found))
        self._reference += (first * first).sum(axis=1)
        self._product += (first * second).sum(axis=1)
        self._found += (second * second).sum(axis=1)

    @property
    def decibels(self) -> float:
        """10 log10(signal / noise), at most `EXACT_DB`; 0 where nothing of the signal is left."""
        signal = float(self._reference.sum())
        if signal == 0:
            return EXACT_DB
        # Noise left by the least-squares gain <r, f> / <f, f> of each channel.
        kept = self._product**2 / np.where(self._found > 0, self._found, 1)
        noise = max(float((self._reference - kept).sum()), 0.0)
        floor = signal * 10 ** (-EXACT_DB / 10)
        return float(10 * np.log10(signal / max(noise, floor)))


def channel_count(shape: tuple[int, ...]) -> int:
    """Length of the axis that `SignalToNoise` takes for the channels."""
    return shape[1] if len(shape) == 4 else shape[-1]


def _by_channel(values: Array) -> Doubles:
    axis = 1 if values.ndim == 4 else values.ndim - 1
    moved = np.moveaxis(values.astype(np.float64), axis, 0)
    return moved.reshape(len(moved), -1)
