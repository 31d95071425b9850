"""Learning rate schedule: linear warm-up times half a cosine."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """Schedule of the factor on the peak learning rate.

    Attributes:
        warmup_steps: Steps of the linear rise.
        final: Factor at the end, in [0, 1].
    """

    warmup_steps: int
    final: float

    def factor(self, *, step: int, progress: float) -> float:
        """Compute the factor for the next step.

        Args:
            step: Steps completed.
            progress: Completed fraction of the training's steps, or of its time budget.
        """
        rise = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        cosine = (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0))) / 2
        return rise * (self.final + (1 - self.final) * cosine)
