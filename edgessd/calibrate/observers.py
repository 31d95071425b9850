"""Streaming statistics of one tensor for all range methods, in constant memory."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgessd.core.arrays import FloatArray

Counts = NDArray[np.int64]

BINS = 4096
"""Number of bins of a histogram. At least half are used, 8 or more for each of int8's 256 levels."""


class StreamingHistogram:
    """A histogram whose bins widen as larger values arrive.

    Bins are `width` wide, a power of two, with edges at whole multiples of it: bin i of `counts`
    covers [(first + i) * width, (first + i + 1) * width). When a value falls outside, the window slides
    if all values still fit, else neighboring bins merge in pairs and the width doubles. Powers of two
    make every edge and every quotient exact in floating point, so the counts are those that
    `np.histogram` over all values at once would give, and 0 always lies on an edge.
    """

    def __init__(self, bins: int = BINS) -> None:
        if bins < 4 or bins % 2:
            raise ValueError(f"a histogram needs an even number of bins >= 4, not {bins}")
        self.bins = bins
        self.counts: Counts = np.zeros(bins, np.int64)
        self.width = 0.0
        self.first = 0

    @property
    def total(self) -> int:
        """Values counted so far."""
        return int(self.counts.sum())

    @property
    def edges(self) -> NDArray[np.float64]:
        """(bins + 1,) edges."""
        return np.asarray((self.first + np.arange(self.bins + 1)) * self.width, np.float64)

    def add(
        self, values: FloatArray, *, low: float | None = None, high: float | None = None
    ) -> None:
        """Count finite values, a flat float32 array.

        Args:
            values: Values to count.
            low: Lower bound of the values that the window must hold; None takes their minimum.
            high: Upper bound of the values that the window must hold; None takes their maximum.
        """
        if not len(values):
            return
        self._make_room(
            float(values.min()) if low is None else low,
            float(values.max()) if high is None else high,
        )
        scaled = values * np.float32(1 / self.width)
        indices = np.floor(scaled, out=scaled).astype(np.int64)
        indices -= self.first
        self.counts += np.bincount(indices, minlength=self.bins)

    def _make_room(self, low: float, high: float) -> None:
        if self.width == 0.0:
            # Narrow enough that the first values span more than half of the bins, and wide enough that the
            # quotients of a tensor with a single value, and their reciprocals, fit float32.
            span = max(high - low, max(abs(low), abs(high)) * 2.0**-10, 2.0**-90)
            self.width = 2.0 ** np.ceil(np.log2(span / self.bins))
            self.first = int(np.floor(low / self.width))
        while not self._slide(low, high):
            self._double()

    def _slide(self, low: float, high: float) -> bool:
        """Move the window to hold all counted values and [low, high]; return False if it is too narrow."""
        lowest, highest = int(np.floor(low / self.width)), int(np.floor(high / self.width))
        filled = np.flatnonzero(self.counts)
        if len(filled):
            lowest = min(lowest, self.first + int(filled[0]))
            highest = max(highest, self.first + int(filled[-1]))
        if highest - lowest >= self.bins:
            return False
        if self.first <= lowest and highest < self.first + self.bins:
            return True
        counts = np.zeros_like(self.counts)
        kept = slice(filled[0], filled[-1] + 1) if len(filled) else slice(0, 0)
        offset = self.first + kept.start - lowest
        counts[offset : offset + kept.stop - kept.start] = self.counts[kept]
        self.first, self.counts = lowest, counts
        return True

    def _double(self) -> None:
        """Merge bins in pairs; pairs start at even multiples so that edges stay whole multiples."""
        odd = self.first % 2
        padded = np.zeros(self.bins + 2, np.int64)
        padded[odd : odd + self.bins] = self.counts
        merged = padded.reshape(-1, 2).sum(axis=1)
        self.counts = np.zeros(self.bins, np.int64)
        self.counts[: len(merged)] = merged
        self.first = (self.first - odd) // 2
        self.width *= 2


@dataclass
class Moments:
    """Running mean and variance of one number per image (Welford's algorithm)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        self.count += 1
        step = value - self.mean
        self.mean += step / self.count
        self.squares += step * (value - self.mean)

    @property
    def deviation(self) -> float:
        """Standard deviation over the images."""
        return float(np.sqrt(self.squares / self.count)) if self.count else 0.0


@dataclass
class TensorObserver:
    """Statistics of one tensor, image by image.

    Minimum and maximum are exact over all values of all images; the histogram counts a fixed number of values
    of each image.
    """

    minimum: float = np.inf
    maximum: float = -np.inf
    minima: Moments = field(default_factory=Moments)
    maxima: Moments = field(default_factory=Moments)
    histogram: StreamingHistogram = field(default_factory=StreamingHistogram)

    def add(self, minimum: float, maximum: float, sample: FloatArray) -> None:
        """Add one image: the tensor's extremes and a flat sample of its values."""
        self.minimum = min(self.minimum, minimum)
        self.maximum = max(self.maximum, maximum)
        self.minima.add(minimum)
        self.maxima.add(maximum)
        self.histogram.add(sample, low=minimum, high=maximum)
