"""Initialize a network with weights of another training.

The weights come from the word `imagenet` (a published MobileNetV2, downloaded once), a state dict in
torchvision's layout, a folder with a folded network, or any edgessd checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from edgessd.core.contract import Preprocess
from edgessd.core.errors import CheckpointError, ConfigError
from edgessd.model.batch_norm import calibrate_batch_norm, unfold_state
from edgessd.model.checkpoint import FORMAT, load_checkpoint, read_torch_file
from edgessd.model.importers.folded_graph import backbone_layer_names, read_folded
from edgessd.model.importers.layout import State
from edgessd.model.importers.preprocessing import adapt_first_conv
from edgessd.model.importers.published import MOBILENET_V2_IMAGENET, fetch
from edgessd.model.importers.torchvision_layout import (
    EPSILON,
    PREPROCESS,
    is_torchvision_backbone,
    read_torchvision_backbone,
)
from edgessd.model.importers.weight_selection import can_select, select_weights
from edgessd.model.recognize import recognize_file
from edgessd.model.ssdlite import SsdLite

_STEM = "backbone.stem"


@dataclass(frozen=True, kw_only=True)
class InitializationReport:
    """Weights that a network was initialized with.

    Attributes:
        source: `imagenet` or a path, as given.
        loaded: Names of the model's tensors that were loaded.
        skipped: Names of the source's tensors that the model doesn't have.
        thinned: Names of the loaded tensors that were selected from a wider source
            (`weight_selection`).
        calibrated_norms: Number of batch norm layers whose statistics were estimated on images.
        needs_norm_statistics: True if batch norm statistics are missing, because the source's batch
            norm is folded or belongs to a wider network, and no images were given. Then call
            `calibrate_batch_norm(model.backbone, images)` before training, or training mode computes
            another function than the source.
    """

    source: str
    loaded: tuple[str, ...]
    skipped: tuple[str, ...]
    thinned: tuple[str, ...]
    calibrated_norms: int
    needs_norm_statistics: bool


@dataclass(frozen=True, kw_only=True)
class _Source:
    """Weights by the model's names, with the normalization and epsilon that they were trained with."""

    state: State
    skipped: tuple[str, ...]
    preprocess: Preprocess
    epsilon: float | None  # None if batch norm is folded
    whole_detector: bool = False


def initialize_backbone(
    model: SsdLite, source: str | Path, images: Tensor | None = None
) -> InitializationReport:
    """Load weights of another training into a new model's backbone, ready for fine-tuning.

    Weights are adapted to the model's normalization (mean, std, channel order) and to its batch norm's
    epsilon, so that evaluation mode computes the source's function. A thinner backbone takes a
    selection of the source's weights, which is a better start than random weights. From an edgessd
    checkpoint, extra feature maps and heads are loaded as well if their shapes are equal; class
    predictors for another number of labels are not.

    Args:
        model: A model with batch norm, as `build_model` makes it.
        source: `imagenet`; a .pth or .pt state dict in torchvision's layout; a folder with graph.json
            and weights.npz; or an edgessd checkpoint.
        images: (B, 3, H, W) float32 training images with little augmentation, normalized by the model's
            contract; 64 are enough. If the source's batch norm is folded, its statistics are
            estimated on them; without images, `needs_norm_statistics` is set.

    Raises:
        CheckpointError: The source can't be read, or was made for a thinner backbone.
        ConfigError: The model has no batch norm.
    """
    if model.config.batch_norm is None:
        raise ConfigError(
            "This network's batch norm is folded, so it can't load pretrained weights",
            expected="a network with batch norm",
            fix="Make its configuration with edgessd.model.new_detector.new_detector",
        )
    weights = _read(source)
    state = _adapted(weights, model)
    thinned = () if weights.whole_detector else _thin(model, state)
    loaded, refused = _fill(model, state, source, whole=weights.whole_detector)
    calibrated = 0
    without_statistics = weights.epsilon is None or bool(thinned)
    if without_statistics and images is not None:
        network = model if weights.whole_detector else model.backbone
        calibrated = calibrate_batch_norm(network, images)
    return InitializationReport(
        source=str(source),
        loaded=loaded,
        skipped=weights.skipped + refused,
        thinned=thinned,
        calibrated_norms=calibrated,
        needs_norm_statistics=without_statistics and images is None,
    )


def _read(source: str | Path) -> _Source:
    if source == "imagenet":
        source = fetch(MOBILENET_V2_IMAGENET)
    path = Path(source)
    if path.is_dir():
        return _read_folder(path)
    content = read_torch_file(path)
    if isinstance(content, dict) and content.get("format") == FORMAT:
        checkpoint = load_checkpoint(path)
        norm = checkpoint.config.batch_norm
        return _Source(
            state=checkpoint.state,
            skipped=(),
            preprocess=checkpoint.contract.preprocess,
            epsilon=None if norm is None else norm.epsilon,
            whole_detector=True,
        )
    if isinstance(content, dict) and is_torchvision_backbone(content):
        state, skipped = read_torchvision_backbone(content, path)
        return _Source(
            state=_prefixed(state), skipped=skipped, preprocess=PREPROCESS, epsilon=EPSILON
        )
    raise CheckpointError(
        f"{path} holds no backbone weights",
        expected="torchvision's MobileNetV2 layout, a folded network's folder, or an edgessd checkpoint",
        found=recognize_file(content, path).found,
        fix="Name such weights with --weights, or start from ImageNet weights: --weights imagenet",
    )


def _read_folder(directory: Path) -> _Source:
    graph, arrays = read_folded(directory)
    state: State = {}
    used = set()
    for ours, theirs in backbone_layer_names().items():
        for leaf in ("weight", "bias"):
            name = f"{theirs}/{leaf}"
            if name not in arrays:
                raise CheckpointError(
                    f"{directory} isn't a MobileNetV2",
                    expected=f"an array {name}",
                    found=f"{len(arrays)} others",
                    fix="Start from ImageNet weights: --weights imagenet",
                )
            state[f"{ours}.conv.{leaf}"] = torch.from_numpy(arrays[name].copy())
            used.add(name)
    return _Source(
        state=_prefixed(state),
        skipped=tuple(name for name in arrays if name not in used),
        preprocess=graph.preprocess,
        epsilon=None,
    )


def _prefixed(state: State) -> State:
    return {f"backbone.{name}": tensor for name, tensor in state.items()}


def _adapted(weights: _Source, model: SsdLite) -> State:
    """Adapt the weights to the model's normalization and epsilon."""
    state = dict(weights.state)
    weight, shift = adapt_first_conv(
        state[f"{_STEM}.conv.weight"],
        trained=weights.preprocess,
        wanted=model.contract.preprocess,
    )
    state[f"{_STEM}.conv.weight"] = weight
    norm = model.config.batch_norm
    assert norm is not None
    if weights.epsilon is None:
        state[f"{_STEM}.conv.bias"] = state[f"{_STEM}.conv.bias"] + shift
        return unfold_state(state, norm)
    # Batch norm subtracts its mean, so a shift of the convolution is taken off the mean.
    state[f"{_STEM}.norm.running_mean"] = state[f"{_STEM}.norm.running_mean"] - shift
    for name in [name for name in state if name.endswith(".norm.running_var")]:
        gamma = name.replace("running_var", "weight")
        variance = state[name].double()
        ratio = torch.sqrt((variance + norm.epsilon) / (variance + weights.epsilon))
        state[gamma] = (state[gamma].double() * ratio).float()
    return state


def _thin(model: SsdLite, state: State) -> tuple[str, ...]:
    """Select a thinner model's weights from a wider backbone's, in place; return their names."""
    thinned = []
    for name, wanted in model.backbone.state_dict(prefix="backbone.").items():
        wide = state.get(name)
        if wide is not None and wide.shape != wanted.shape and can_select(wide, wanted.shape):
            state[name] = select_weights(wide, tuple(wanted.shape))
            thinned.append(name)
    return tuple(thinned)


def _fill(
    model: SsdLite, state: State, source: str | Path, *, whole: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Load the tensors that fit.

    Returns:
        Names of the loaded and of the refused tensors.

    Raises:
        CheckpointError: A tensor of the backbone doesn't fit.
    """
    wanted = model.state_dict()
    fitting: State = {}
    refused = []
    for name, tensor in state.items():
        if name in wanted and wanted[name].shape == tensor.shape:
            fitting[name] = tensor
        elif name.startswith("backbone."):
            raise CheckpointError(
                f"{source} was made for another width of the backbone",
                expected=f"{name} {tuple(wanted[name].shape)} (width {model.config.width:g})",
                found=f"{tuple(tensor.shape)}",
                fix="Train with a width of at most that of these weights (ImageNet weights: 1.0), or "
                "start from random weights: --weights none",
            )
        else:
            refused.append(name)
    if not whole:
        absent = [name for name in wanted if name.startswith("backbone.") and name not in fitting]
        assert not absent, absent
    model.load_state_dict(fitting, strict=False)
    return tuple(fitting), tuple(refused)
