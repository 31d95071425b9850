"""Controls of a running pipeline: the score threshold and the classes to detect."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from edgessd.core.detections import Detections
from edgessd.core.errors import ConfigError

if TYPE_CHECKING:
    from edgessd.runtime.detector import Detector


@dataclass(frozen=True, kw_only=True, slots=True)
class _StreamControls:
    """Settings of one stream; None stands for the detector's threshold, and for all classes."""

    score_threshold: float | None = None
    classes: frozenset[str] | None = None


class Controls:
    """Settings that take effect with the next frame. Any thread may change them.

    Each stream may start with settings of its own (`set_stream`). Setting `score_threshold` or `classes`
    afterwards changes all streams alike.

    Args:
        detector: The detector whose outputs are postprocessed.
        streams: Number of streams.
    """

    def __init__(self, detector: Detector, streams: int = 1) -> None:
        self._detector = detector
        self._default_threshold = detector.score_threshold
        self._streams = (_StreamControls(),) * streams

    @property
    def labels(self) -> tuple[str, ...]:
        """All classes of the detector."""
        return self._detector.labels

    @property
    def score_threshold(self) -> float:
        """Lowest threshold of all streams, in [0, 1]; detections with this score or less are dropped."""
        return self._detector.score_threshold

    @score_threshold.setter
    def score_threshold(self, threshold: float) -> None:
        _require_probability(threshold)
        self._streams = tuple(replace(each, score_threshold=None) for each in self._streams)
        self._detector.score_threshold = threshold

    @property
    def classes(self) -> frozenset[str] | None:
        """Labels that any stream looks for; None if one of them looks for all."""
        limited = [each.classes for each in self._streams if each.classes is not None]
        return frozenset().union(*limited) if len(limited) == len(self._streams) else None

    @classes.setter
    def classes(self, classes: Iterable[str] | None) -> None:
        chosen = self._known(classes)
        self._streams = tuple(replace(each, classes=chosen) for each in self._streams)

    def labels_of(self, stream: int) -> tuple[str, ...]:
        """Return the labels that a stream looks for, in the order of the detector."""
        wanted = self._streams[stream].classes
        return tuple(label for label in self.labels if wanted is None or label in wanted)

    def set_stream(
        self,
        stream: int,
        *,
        score_threshold: float | None = None,
        classes: Iterable[str] | None = None,
    ) -> None:
        """Set what one stream looks for.

        Args:
            stream: Number of the stream, from 0.
            score_threshold: In [0, 1]; None is the detector's.
            classes: Labels; None is all.

        Raises:
            ConfigError: The threshold is out of range, or the detector doesn't know a label.
        """
        if score_threshold is not None:
            _require_probability(score_threshold)
        if not self._differ():
            self._default_threshold = self._detector.score_threshold
        streams = list(self._streams)
        streams[stream] = _StreamControls(
            score_threshold=score_threshold, classes=self._known(classes)
        )
        self._streams = tuple(streams)
        # The detector decodes for all streams: `choose` drops what a stricter stream doesn't want.
        self._detector.score_threshold = min(self._threshold(each) for each in streams)

    def choose(self, detections: Detections, stream: int = 0) -> Detections:
        """Return the detections that a stream looks for."""
        controls = self._streams[stream]
        if self._differ():
            detections = detections[detections.scores > self._threshold(controls)]
        if controls.classes is None or not len(detections):
            return detections
        ids = [number for number, label in enumerate(self.labels) if label in controls.classes]
        return detections[np.isin(detections.class_ids, ids)]

    def _differ(self) -> bool:
        return any(each.score_threshold is not None for each in self._streams)

    def _threshold(self, stream: _StreamControls) -> float:
        return self._default_threshold if stream.score_threshold is None else stream.score_threshold

    def _known(self, classes: Iterable[str] | None) -> frozenset[str] | None:
        if classes is None:
            return None
        names = frozenset(classes)
        unknown = sorted(names - set(self.labels))
        if unknown:
            raise ConfigError(
                "The detector has no class " + ", ".join(map(repr, unknown)),
                expected="some of " + ", ".join(self.labels),
            )
        return names


def _require_probability(threshold: float) -> None:
    if not 0 <= threshold <= 1:
        raise ConfigError(
            "A score threshold is a probability", expected="0 to 1", found=str(threshold)
        )
