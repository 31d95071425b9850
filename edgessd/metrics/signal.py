"""Signal-to-noise ratio of a tensor in two forms of a network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgessd.core.arrays import AnyArray, DoubleArray

EXACT_DB = 120.0
"""Ratio of equal tensors in decibels, about the precision of float32."""


@dataclass(slots=True)
class SignalToNoise:
    """Signal-to-noise ratio of a tensor, gathered image by image.

    Equalization multiplies channels by constants, so each channel is first scaled by the gain that fits
    the reference best. The noise is the difference that remains.

    Attributes:
        channels: Length of the channel axis: axis 1 of (1, C, H, W), the last axis of other shapes.
    """

    channels: int
    _reference: DoubleArray
    _product: DoubleArray
    _found: DoubleArray

    @classmethod
    def over(cls, channels: int) -> SignalToNoise:
        """Make an empty ratio for a number of channels."""
        return cls(channels, *(np.zeros(channels) for _ in range(3)))

    def add(self, reference: AnyArray, found: AnyArray) -> None:
        """Add one image's tensors: real values of the same shape."""
        first, second = (_by_channel(values) for values in (reference, found))
        self._reference += (first * first).sum(axis=1)
        self._product += (first * second).sum(axis=1)
        self._found += (second * second).sum(axis=1)

    @property
    def decibels(self) -> float:
        """10 log10(signal / noise), at most `EXACT_DB`; 0 if none of the signal is left."""
        signal = float(self._reference.sum())
        if signal == 0:
            return EXACT_DB
        # Noise that remains after the least-squares gain <r, f> / <f, f> of each channel.
        kept = self._product**2 / np.where(self._found > 0, self._found, 1)
        noise = max(float((self._reference - kept).sum()), 0.0)
        floor = signal * 10 ** (-EXACT_DB / 10)
        return float(10 * np.log10(signal / max(noise, floor)))


def channel_count(shape: tuple[int, ...]) -> int:
    """Return the length of the channel axis, as `SignalToNoise` defines it."""
    return shape[1] if len(shape) == 4 else shape[-1]


def _by_channel(values: AnyArray) -> DoubleArray:
    axis = 1 if values.ndim == 4 else values.ndim - 1
    moved = np.moveaxis(values.astype(np.float64), axis, 0)
    return moved.reshape(len(moved), -1)
