"""State of a training, saved as state.pt, from which it resumes exactly.

The order of the images and their augmentation follow from seed, epoch and position, so the loader needs
no state. Only the trainer reads state.pt; last.pt and best.pt are the checkpoints for use.
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
_START_FROM_WEIGHTS = (
    "Start a new training from the weights beside it: edgessd train --weights RUN/last.pt"
)


@dataclass(kw_only=True)
class Position:
    """Progress of a training.

    Attributes:
        epoch: Completed epochs.
        batches: Completed batches of the current epoch.
        step: Completed optimizer steps.
        images: Images trained on.
        seconds: Seconds spent in this and earlier processes, with evaluation.
        training_seconds: Seconds spent on training steps.
        best_AP: Best AP of the evaluations; None before the first.
        sums: Running sums of the current epoch's losses.
        history: Rows of metrics.csv, one for each completed epoch.
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
    """Write the state; an interrupted write leaves the old file."""
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
    """Restore the model, optimizer, average and random generators from a state file.

    Returns:
        Progress of the training when it was saved.

    Raises:
        CheckpointError: The file is missing, can't be read, or belongs to another model.
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
            f"{path} doesn't fit the settings in {path.parent / 'config.toml'}",
            found=str(error).splitlines()[0],
            fix="Restore the config.toml that this training started with",
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
            fix="Start a training without --resume; its first state is saved after its first epoch",
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} can't be read",
            found=f"{type(error).__name__}: {error}"[:200],
            fix=_START_FROM_WEIGHTS,
        ) from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise CheckpointError(
            f"{path} isn't a training state",
            expected=f"format {_FORMAT}",
            found=f"format {content.get('format')}" if isinstance(content, dict) else "other data",
            fix=_START_FROM_WEIGHTS,
        )
    return content
