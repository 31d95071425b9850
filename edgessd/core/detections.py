"""`Detections`: boxes found in one image, from the decoder to the last sink."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgessd.core.arrays import FloatArray
from edgessd.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Detections:
    """Boxes found in one image, best score first.

    Attributes:
        boxes: (n, 4) float32 xyxy, pixels of the original image.
        scores: (n,) float32 in [0, 1].
        class_ids: (n,) int64, indices into `labels`.
        labels: Names of all classes of the detector.
        track_ids: (n,) int64 track numbers; None if no tracker ran.
    """

    boxes: FloatArray
    scores: FloatArray
    class_ids: NDArray[np.int64]
    labels: tuple[str, ...]
    track_ids: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        count = len(self.scores)
        if self.boxes.shape != (count, 4) or self.class_ids.shape != (count,):
            raise ValueError(
                f"boxes {self.boxes.shape}, scores {self.scores.shape} and class_ids "
                f"{self.class_ids.shape} don't describe the same detections"
            )
        if self.track_ids is not None and self.track_ids.shape != (count,):
            raise ValueError(f"track_ids {self.track_ids.shape} for {count} detections")

    @classmethod
    def empty(cls, labels: tuple[str, ...]) -> Detections:
        """Make an empty record."""
        return cls(
            boxes=np.zeros((0, 4), np.float32),
            scores=np.zeros(0, np.float32),
            class_ids=np.zeros(0, np.int64),
            labels=labels,
        )

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: slice | NDArray[np.generic]) -> Detections:
        """Select detections by a slice, mask or index array."""
        return replace(
            self,
            boxes=self.boxes[index],
            scores=self.scores[index],
            class_ids=self.class_ids[index],
            track_ids=None if self.track_ids is None else self.track_ids[index],
        )

    def named(self) -> Iterator[tuple[str, float, tuple[float, float, float, float]]]:
        """Yield (label, score, (x1, y1, x2, y2)) of each detection as plain Python values."""
        for box, score, class_id in zip(self.boxes, self.scores, self.class_ids, strict=True):
            x1, y1, x2, y2 = (float(value) for value in box)
            yield self.labels[class_id], float(score), (x1, y1, x2, y2)

    def to_supervision(self) -> Any:
        """Convert to `supervision.Detections`, for its annotators, trackers, zones and metrics.

        `data["class_name"]` has the labels; `tracker_id` has the track numbers if a tracker ran.

        Raises:
            ConfigError: supervision isn't installed.
        """
        try:
            import supervision
        except ImportError as error:
            raise ConfigError(
                "These detections can't be converted to supervision's",
                found=str(error),
                fix="Run `pip install supervision`",
            ) from error
        return supervision.Detections(
            xyxy=self.boxes.astype(np.float32),
            confidence=self.scores.astype(np.float32),
            class_id=self.class_ids.astype(np.int64),
            tracker_id=None if self.track_ids is None else self.track_ids.astype(np.int64),
            data={"class_name": np.array([self.labels[number] for number in self.class_ids], str)},
        )
