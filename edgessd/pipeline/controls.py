"""What can be changed while the pipeline runs: the score threshold and the classes to look for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from edgessd.core.detections import Detections
from edgessd.core.errors import ConfigError

if TYPE_CHECKING:
    from edgessd.runtime.detector import Detector


class Controls:
    """Settings that take effect with the next frame. Any thread may change them.

    Args:
        detector: The one whose outputs are finished.
    """

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._wanted: tuple[frozenset[str], frozenset[int]] | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """Every class that the detector knows."""
        return self._detector.labels

    @property
    def score_threshold(self) -> float:
        """Detections scored at or below it are dropped, in [0, 1]."""
        return self._detector.score_threshold

    @score_threshold.setter
    def score_threshold(self, threshold: float) -> None:
        if not 0 <= threshold <= 1:
            raise ConfigError(
                "A score threshold is a probability", expected="0 to 1", found=str(threshold)
            )
        self._detector.score_threshold = threshold

    @property
    def classes(self) -> frozenset[str] | None:
        """Labels to look for, None for all."""
        return None if self._wanted is None else self._wanted[0]

    @classes.setter
    def classes(self, classes: Iterable[str] | None) -> None:
        if classes is None:
            self._wanted = None
            return
        names = frozenset(classes)
        unknown = sorted(names - set(self.labels))
        if unknown:
            raise ConfigError(
                "The detector doesn't know " + ", ".join(map(repr, unknown)),
                expected="some of " + ", ".join(self.labels),
            )
        ids = frozenset(i for i, label in enumerate(self.labels) if label in names)
        self._wanted = names, ids

    def choose(self, detections: Detections) -> Detections:
        """The detections of the wanted classes."""
        wanted = self._wanted
        if wanted is None or not len(detections):
            return detections
        return detections[np.isin(detections.class_ids, list(wanted[1]))]
