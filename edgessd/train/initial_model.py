"""Build the model that a training starts from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from torch import nn

from edgessd.core.errors import CheckpointError
from edgessd.metrics.ground_truth import LabeledImage
from edgessd.model.checkpoint import FORMAT, load_checkpoint, read_torch_file
from edgessd.model.config import BatchNorm
from edgessd.model.importers.initialize_backbone import initialize_backbone
from edgessd.model.ssdlite import SsdLite, build_model
from edgessd.train.config import ModelSettings
from edgessd.train.fit_anchors import detector_of, fit_anchors

if TYPE_CHECKING:
    from edgessd.quantize.qat.network import QatNetwork

_CLASS_PREDICTOR = re.compile(r"heads\.\d+\.score\.pointwise\.(weight|bias)")


@dataclass(frozen=True, kw_only=True)
class InitialModel:
    """A model with its initial weights.

    Attributes:
        model: Network on the CPU.
        loaded_backbone: True if the backbone's weights were loaded.
        without_statistics: Part of the model whose batch normalization statistics have to be
            estimated before training; None if all statistics are known.
        description: One sentence about the weights.
        provenance: Entries for the checkpoint.
    """

    model: SsdLite | QatNetwork
    loaded_backbone: bool
    without_statistics: nn.Module | None
    description: str
    provenance: dict[str, str]


def make_initial_model(
    settings: ModelSettings,
    labels: Sequence[str],
    images: Sequence[LabeledImage],
) -> InitialModel:
    """Build the model to train, with the weights that `settings.weights` names.

    Args:
        settings: Model settings. With `anchors = "fit"`, anchors are fitted to `images` first.
        labels: Labels of the dataset.
        images: Training images.

    Raises:
        CheckpointError: The weights don't exist, can't be read or don't fit.
        ConfigError: The settings describe no detector.
    """
    if settings.weights not in ("none", "imagenet") and _is_checkpoint(Path(settings.weights)):
        return _from_checkpoint(Path(settings.weights), tuple(labels))
    description = ""
    if settings.anchors == "fit":
        fitted = fit_anchors(settings, labels, images)
        settings = fitted.settings
        description = (
            f"anchors reach {fitted.reach:.1%} of the boxes (mean over classes), scales "
            + ", ".join(f"{scale:g}" for scale in settings.scales)
            + (", with a head at stride 8" if settings.stride_8 else "")
            + "; "
        )
    model = build_model(*detector_of(settings, labels))
    if settings.weights == "none":
        return InitialModel(
            model=model,
            loaded_backbone=False,
            without_statistics=None,
            description=description + "the weights start from scratch",
            provenance={"weights": "none"},
        )
    report = initialize_backbone(model, settings.weights)
    return InitialModel(
        model=model,
        loaded_backbone=True,
        without_statistics=model.backbone if report.needs_norm_statistics else None,
        description=description
        + f"the backbone starts from {settings.weights}"
        + (f", thinned to width {settings.width:g}" if report.thinned else ""),
        provenance={"weights": Path(settings.weights).name},
    )


def _is_checkpoint(path: Path) -> bool:
    if not path.exists():
        raise CheckpointError(
            f"There are no weights at {path}",
            expected="`imagenet`, `none`, a file or folder of backbone weights, or a checkpoint",
        )
    if path.is_dir():
        return False
    content = read_torch_file(path)
    return isinstance(content, dict) and content.get("format") == FORMAT


def _from_checkpoint(path: Path, labels: tuple[str, ...]) -> InitialModel:
    """Start from a detector; if its labels differ, with new class predictors."""
    checkpoint = load_checkpoint(path)
    known = checkpoint.contract.labels
    norm = checkpoint.config.batch_norm or BatchNorm()
    config = msgspec.structs.replace(checkpoint.config, batch_norm=norm)
    contract = msgspec.structs.replace(checkpoint.contract, labels=labels)
    model = build_model(config, contract)
    fresh = {
        name: tensor.clone()
        for name, tensor in model.state_dict().items()
        if _CLASS_PREDICTOR.fullmatch(name)
    }
    report = initialize_backbone(model, path)
    description = f"weights, anchors and the input size come from {path}"
    if known != labels:
        model.load_state_dict(fresh, strict=False)
        description += (
            f"; its class predictors for {', '.join(known[:6])}{' …' if len(known) > 6 else ''} "
            f"are replaced by new ones for {', '.join(labels)}"
        )
    return InitialModel(
        model=model,
        loaded_backbone=True,
        without_statistics=model if report.needs_norm_statistics else None,
        description=description,
        provenance={**checkpoint.provenance, "weights": path.name},
    )
