"""Summary of a training on one page: summary.txt."""

from __future__ import annotations

from edgessd.data.dataset import Dataset
from edgessd.train.config import QatSettings, TrainConfig
from edgessd.train.result import TrainResult
from edgessd.train.split_roles import Roles


def summary_text(result: TrainResult, config: TrainConfig, roles: Roles, dataset: Dataset) -> str:
    """Describe the model, its data, the time it took and its accuracy."""
    position = result.position
    state = "finished" if result.finished else "interrupted; continue with --resume"
    lines = [
        f"training      {state}",
        f"dataset       {dataset.root.name} ({dataset.format}), {len(dataset.labels)} labels: "
        + ", ".join(dataset.labels),
        f"images        {roles.description}",
        f"model         MobileNetV2-SSDLite, width {config.model.width:g}, "
        f"{config.model.input_size[0]}x{config.model.input_size[1]}, from {config.model.weights}",
        *([_qat_line(config.qat)] if config.qat.enabled else []),
        f"epochs        {position.epoch} ({position.step} steps, {position.images} images)",
        f"time          {position.seconds / 60:.1f} min, {result.images_per_second:.1f} images/s",
        f"checkpoint    {result.checkpoint.name}",
    ]
    if position.best_AP is not None:
        name = "best AP" if roles.evaluated == "every" else "AP"
        lines.append(f"{name:<13} {position.best_AP:.4f}")
    if result.metrics:
        lines.append(f"last AP       {result.metrics.AP:.4f}, AP50 {result.metrics.AP50:.4f}")
    if result.broken_images:
        lines.append(f"skipped       {len(result.broken_images)} unreadable images:")
        lines += [f"  {problem}" for problem in result.broken_images]
    return "\n".join(lines) + "\n"


def _qat_line(settings: QatSettings) -> str:
    return f"quantized     {settings.scheme}, initial ranges by recipe {settings.recipe}"
