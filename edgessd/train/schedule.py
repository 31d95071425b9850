"""Learning rate over a training: linear warm-up, then half a cosine."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """Factor on each peak learning rate.

    Attributes:
        warmup_steps: Steps of linear rise.
        final: Factor at the end.
    """

    warmup_steps: int
    final: float

    def factor(self, *, step: int, progress: float) -> float:
        """The factor for the step to come.

        Args:
            step: Steps done.
            progress: Part of the training done, 0 to 1: of its steps, or of its time budget.
        """
        rise = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        cosine = (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0))) / 2
        return rise * (self.final + (1 - self.final) * cosine)
