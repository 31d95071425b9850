"""The outcome of a training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgessd.metrics.coco import CocoMetrics
from edgessd.train.state import Position


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """Outcome of a training.

    Attributes:
        folder: The run folder.
        checkpoint: best.pt, or last.pt if the training was interrupted.
        finished: False if the training was asked to stop.
        position: Progress at the end.
        metrics: Metrics of the last evaluation in this process; None if there was none.
        broken_images: One paragraph for each unreadable image.
    """

    folder: Path
    checkpoint: Path
    finished: bool
    position: Position
    metrics: CocoMetrics | None
    broken_images: tuple[str, ...]

    @property
    def images_per_second(self) -> float:
        """Training images per second, with loading and without evaluation."""
        return self.position.images / max(self.position.training_seconds, 1e-9)
