"""Everything that a training needs to go on exactly where it stopped: `state.pt`.

The order of the images and their augmentation follow from seed, epoch and position, so no loader state
is kept. The weights that are used lie in last.pt and best.pt; this file is for the trainer alone.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgessd.core.errors import CheckpointError
from edgessd.core.files import replacing
from edgessd.train.ema import MovingAverage

_FORMAT = "edgessd-training-state-1"


@dataclass(kw_only=True)
class Position:
    """How far a training is.

    Attributes:
        epoch: Epochs finished.
        batches: Batches of the current epoch that are done.
        step: Optimizer steps done.
        images: Images trained on so far.
        seconds: Time spent, in this and earlier processes, evaluation included.
        training_seconds: Of those, spent on training steps.
        best_AP: Of the evaluations so far; None before the first.
        sums: Running sums of the current epoch's losses.
        history: One row of metrics.csv for each epoch finished.
    """

    epoch: int = 0
    batches: int = 0
    step: int = 0
    images: int = 0
    seconds: float = 0.0
    training_seconds: float = 0.0
    best_AP: float | None = None
    sums: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)


def save_state(
    path: Path,
    position: Position,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: MovingAverage | None,
) -> None:
    """Write the state as a whole or not at all."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    content = {
        "format": _FORMAT,
        "position": dict(vars(position)),
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "average": average.model.state_dict() if average else None,
        "average_updates": average.updates if average else 0,
        "torch_rng": torch.get_rng_state(),
        "cuda_rng": cuda,
    }
    with replacing(path) as temporary:
        torch.save(content, temporary)


def restore_state(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: MovingAverage | None,
) -> Position:
    """Put model, optimizer, average and random generators back, and say how far the training was.

    Raises:
        CheckpointError: There is no state, or it belongs to another model.
    """
    content = _read(path)
    try:
        model.load_state_dict(content["model"])
        optimizer.load_state_dict(content["optimizer"])
        if average:
            average.model.load_state_dict(content["average"])
            average.updates = content["average_updates"]
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(
            f"{path} doesn't fit the settings beside it",
            found=str(error).splitlines()[0],
            fix="Put the config.toml back that this training was started with",
        ) from error
    torch.set_rng_state(content["torch_rng"])
    if torch.cuda.is_available() and content["cuda_rng"]:
        torch.cuda.set_rng_state_all(content["cuda_rng"])
    return Position(**content["position"])


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointError(
            "There is no training to resume",
            expected=f"{path.name} in the run folder",
            found=str(path.parent),
            fix="Leave --resume out to start one; the first state is saved after the first epoch",
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} can't be read", found=f"{type(error).__name__}: {error}"[:200]
        ) from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise CheckpointError(f"{path} isn't a training state", expected=_FORMAT)
    return content
