"""summary.txt: a finished training on one page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgessd.data.dataset import Dataset
from edgessd.train.config import TrainConfig
from edgessd.train.split_roles import Roles

if TYPE_CHECKING:
    from edgessd.train.run import TrainResult


def summary_text(result: TrainResult, config: TrainConfig, roles: Roles, dataset: Dataset) -> str:
    """What was trained, on what, how long, and how good it is."""
    position = result.position
    state = "finished" if result.finished else "interrupted; --resume goes on"
    lines = [
        f"training      {state}",
        f"dataset       {dataset.root.name} ({dataset.format}), {len(dataset.labels)} labels: "
        + ", ".join(dataset.labels),
        f"images        {roles.description}",
        f"model         MobileNetV2-SSDLite, width {config.model.width:g}, "
        f"{config.model.input_size[0]}x{config.model.input_size[1]}, from {config.model.weights}",
        *(_qat_line(config) if config.qat.enabled else ()),
        f"epochs        {position.epoch} ({position.step} steps, {position.images} images)",
        f"time          {position.seconds / 60:.1f} min, {result.images_per_second:.1f} images/s",
        f"checkpoint    {result.checkpoint.name}",
    ]
    if position.best_AP is not None:
        what = "best AP" if roles.evaluated == "every" else "AP"
        lines.append(f"{what:<13} {position.best_AP:.4f}")
    if result.metrics:
        lines.append(f"last AP       {result.metrics.AP:.4f}, AP50 {result.metrics.AP50:.4f}")
    if result.broken_images:
        lines.append(f"skipped       {len(result.broken_images)} images that can't be read:")
        lines += [f"  {problem}" for problem in result.broken_images]
    return "\n".join(lines) + "\n"


def _qat_line(config: TrainConfig) -> tuple[str, ...]:
    qat = config.qat
    return (f"rounded       {qat.scheme}, ranges started from recipe {qat.recipe}",)
