"""Exponential moving average of a model's weights and statistics."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn


class MovingAverage:
    """A second copy of a model whose weights are the moving average of the first's.

    The decay rises from 0 as decay * (1 - exp(-updates / ramp)), so that the average forgets the
    random initial weights quickly.

    Args:
        model: The model to copy and follow.
        decay: Weight of the old average in each update, after the ramp.
        ramp: Updates after which the decay has reached 63% of `decay`.

    Attributes:
        model: The average, in evaluation mode.
        updates: Number of updates so far.
    """

    def __init__(self, model: nn.Module, *, decay: float, ramp: int) -> None:
        self.model = copy.deepcopy(model).eval()
        self.model.requires_grad_(False)
        self.updates = 0
        self._decay = decay
        self._ramp = max(ramp, 1)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average toward `model` by one update; integer buffers are copied."""
        self.updates += 1
        decay = self._decay * (1 - math.exp(-self.updates / self._ramp))
        averages: list[Tensor] = []
        currents: list[Tensor] = []
        state = model.state_dict()
        for name, average in self.model.state_dict().items():
            if average.is_floating_point():
                averages.append(average)
                currents.append(state[name])
            else:
                average.copy_(state[name])
        torch._foreach_lerp_(averages, currents, 1 - decay)
