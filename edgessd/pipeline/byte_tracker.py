"""ByteTrack (Zhang et al., ECCV 2022, arXiv:2110.06864), implemented by the library trackforge.

Detections of high score start and continue tracks, those of low score only continue them: an object that is
half hidden for a moment keeps its number. A Kalman filter predicts motion, and boxes are matched by overlap;
there is no appearance model. This module adds two things: duplicates start no track, and the frame rate is
measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgessd.core.boxes import areas, iou_matrix
from edgessd.core.errors import BackendError

if TYPE_CHECKING:
    from edgessd.core.detections import Detections
    from edgessd.pipeline.regions import TrackSettings

NO_TRACK = -1

# A second box on one object would start a second track. A detector with a high NMS threshold gives such
# pairs, also of a part and its whole; with NMS per class, one object may have boxes of two classes.
_SAME_CLASS_IOU = 0.5
_ANY_CLASS_IOU = 0.8
_PART_IOU, _PART_INSIDE = 0.3, 0.9

# Maximum 1 - IoU at which a track continues: 0.8 and 0.5 in the paper.
_MATCH = 0.8
_WEAK_MATCH = 0.5

_MOST_FPS = 240.0


class ByteTracker:
    """Numbers the detections of one stream.

    Args:
        settings: Settings of the regions file, or the defaults.

    Raises:
        BackendError: trackforge isn't installed.
    """

    def __init__(self, settings: TrackSettings) -> None:
        try:
            from trackforge import BYTETRACK
        except ImportError as error:
            raise BackendError(
                "Tracking needs the package trackforge",
                found=str(error),
                fix="`pip install 'edgessd[track]'`, or `pip install trackforge`.",
            ) from error
        self._make = BYTETRACK
        self._settings = settings
        self._tracker: Any = None
        self._first: tuple[float, list[Any]] | None = None

    def update(self, detections: Detections, seconds: float) -> NDArray[np.int64]:
        """Match the detections of the next frame to the tracks.

        Args:
            detections: The n detections of the frame.
            seconds: Time of the frame on a clock that never goes back.

        Returns:
            (n,) int64: the tracker's own number of each detection's object, or `NO_TRACK`.
        """
        numbers = np.full(len(detections), NO_TRACK, np.int64)
        scores = detections.scores.copy()
        scores[_duplicates(detections)] *= 0.5 * self._settings.start_score
        given = [
            ([x1, y1, x2 - x1, y2 - y1], score, class_id)
            for (x1, y1, x2, y2), score, class_id in zip(
                detections.boxes.tolist(),
                scores.tolist(),
                detections.class_ids.tolist(),
                strict=True,
            )
        ]
        if self._tracker is None and not self._start(given, seconds):
            return numbers
        for number, _box, _score, _class_id, index in self._tracker.update(given):
            if index is not None:
                numbers[index] = number
        return numbers

    def _start(self, given: list[Any], seconds: float) -> bool:
        """Make the tracker at the second frame, which gives the frame rate; return False before."""
        if self._first is None:
            self._first = seconds, given
            return False
        since, first = self._first
        fps = min(_MOST_FPS, 1 / max(seconds - since, 1e-9))
        start = self._settings.start_score
        # One frame too many does no harm: `pipeline.tracking` decides by the clock which object is gone.
        buffer = round(self._settings.lost_seconds * fps) + 1
        self._tracker = self._make(start, buffer, _MATCH, start, _WEAK_MATCH)
        self._tracker.update(first)
        return True


def _duplicates(detections: Detections) -> NDArray[np.bool_]:
    """Return a mask of the detections that show the same object as one of higher score.

    They are treated as detections of low score: they may continue a track.
    """
    boxes = detections.boxes
    ious = iou_matrix(boxes, boxes)
    sizes = areas(boxes)
    # From IoU and both areas: intersection = iou (a + b) / (1 + iou).
    inside = ious * (sizes[:, None] + sizes) / (1 + ious)
    inside /= np.maximum(np.minimum(sizes[:, None], sizes), 1e-9)
    same_class = detections.class_ids[:, None] == detections.class_ids
    part = (inside > _PART_INSIDE) & (ious > _PART_IOU)
    double = (same_class & ((ious > _SAME_CLASS_IOU) | part)) | (ious > _ANY_CLASS_IOU)
    found = np.zeros(len(detections), np.bool_)
    for index in range(1, len(detections)):
        better = double[index, :index] & ~found[:index]
        found[index] = better.any()
    return found
