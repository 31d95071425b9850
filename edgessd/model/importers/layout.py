"""Read pairs of convolution and batch norm from another project's state dict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from edgessd.core.errors import CheckpointError

State = dict[str, Tensor]


class Unit(NamedTuple):
    """Another project's names of a convolution and of the batch norm after it."""

    conv: str
    norm: str


def take_units(source: Mapping[str, Tensor], units: Mapping[str, Unit], path: Path) -> State:
    """Read the state of ConvUnits with batch norm.

    A convolution's bias before batch norm only shifts the mean, so it is subtracted from the running
    mean, and the convolution has no bias.

    Args:
        source: State dict of the other project.
        units: The other project's names by the path of our ConvUnit.
        path: File of the state dict, for errors.

    Raises:
        CheckpointError: A tensor is missing.
    """
    state: State = {}
    for ours, unit in units.items():
        state[f"{ours}.conv.weight"] = take(source, f"{unit.conv}.weight", path).clone()
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            state[f"{ours}.norm.{leaf}"] = take(source, f"{unit.norm}.{leaf}", path).clone()
        if f"{unit.conv}.bias" in source:
            state[f"{ours}.norm.running_mean"] -= source[f"{unit.conv}.bias"]
        state[f"{ours}.norm.num_batches_tracked"] = torch.tensor(0)
    return state


def take(source: Mapping[str, Tensor], name: str, path: Path) -> Tensor:
    """Return one tensor.

    Raises:
        CheckpointError: The tensor is missing.
    """
    if name not in source:
        raise CheckpointError(
            f"{path} is incomplete",
            expected=f"a tensor {name}",
            found=f"{len(source)} other tensors",
            fix="Save or download the file again",
        )
    return source[name]


def used_names(units: Iterable[Unit]) -> set[str]:
    """All names that `take_units` may read."""
    leaves = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    return {
        f"{prefix}.{leaf}" for unit in units for prefix in (unit.conv, unit.norm) for leaf in leaves
    }


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors, by name."""
    return {name: tuple(tensor.shape) for name, tensor in state.items()}
