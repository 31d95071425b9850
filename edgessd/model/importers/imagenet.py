"""Start a network from weights that were learned elsewhere.

`initialize_backbone(model, source, images)` is what training calls. Sources: the word `imagenet` (a
published MobileNetV2, downloaded once), a state dict in torchvision's layout, a folder with a folded
network, or any edgessd checkpoint.
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
class InitialisationReport:
    """What a network was started from.

    Attributes:
        source: `imagenet` or a path, as given.
        loaded: Names of the model's tensors that were filled.
        skipped: Names of the source's tensors that have no place in the model.
        thinned: Names of those that were selected from a wider source (`weight_selection`).
        settled_norms: Batch-norm layers whose statistics were taken from images.
        needs_norm_statistics: The source's batch norm is folded, or its statistics are those of a wider
            network, and no images were given: call
            `calibrate_batch_norm(model.backbone, images)` before training, or training mode computes
            another function than the source.
    """

    source: str
    loaded: tuple[str, ...]
    skipped: tuple[str, ...]
    thinned: tuple[str, ...]
    settled_norms: int
    needs_norm_statistics: bool


@dataclass(frozen=True, kw_only=True)
class _Source:
    """Weights by the model's names, and how they were trained."""

    state: State
    skipped: tuple[str, ...]
    preprocess: Preprocess
    epsilon: float | None  # None: batch norm is folded
    whole_detector: bool = False


def initialize_backbone(
    model: SsdLite, source: str | Path, images: Tensor | None = None
) -> InitialisationReport:
    """Fill a fresh model's backbone from weights trained elsewhere, ready to be fine-tuned.

    Differences in normalisation (mean, std, channel order) and in batch norm's epsilon are computed
    away, so evaluation mode gives the source's function. A thinner backbone takes a selection of the
    source's weights, which is a better start than none. From an edgessd checkpoint every tensor that
    has its place in the model is taken: extra feature maps and heads as well, all but the class
    predictors when the labels differ.

    Args:
        model: With batch norm, as `build_model` makes it.
        source: `imagenet`; a .pth/.pt state dict in torchvision's layout; a folder with graph.json and
            weights.npz; an edgessd checkpoint.
        images: (B, 3, H, W) float32 training images (not augmented heavily), normalised by the model's
            contract. Where the source's batch norm is folded, its statistics are taken from them
            (`edgessd.model.batch_norm.calibrate_batch_norm`), 64 are plenty; without, the report says
            that they are missing.

    Raises:
        CheckpointError: The source can't be read, or was made for another width.
        ConfigError: The model has no batch norm.
    """
    if model.config.batch_norm is None:
        raise ConfigError(
            "This network's batch norm is folded, so it can't start from pretrained weights",
            expected="a network with batch norm",
            fix="Make it with edgessd.model.new_detector.new_detector",
        )
    weights = _read(source)
    state = _adapted(weights, model)
    thinned = () if weights.whole_detector else _thin(model, state)
    loaded, refused = _fill(model, state, source, whole=weights.whole_detector)
    settled = 0
    without_statistics = weights.epsilon is None or bool(thinned)
    if without_statistics and images is not None:
        network = model if weights.whole_detector else model.backbone
        settled = calibrate_batch_norm(network, images)
    return InitialisationReport(
        source=str(source),
        loaded=loaded,
        skipped=weights.skipped + refused,
        thinned=thinned,
        settled_norms=settled,
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
                    f"{directory} isn't a MobileNetV2", expected=f"an array {name}", found="none"
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
    """The weights for the model's normalisation and epsilon."""
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
    # Batch norm subtracts its mean from the convolution: adding to one is taking from the other.
    state[f"{_STEM}.norm.running_mean"] = state[f"{_STEM}.norm.running_mean"] - shift
    for name in [name for name in state if name.endswith(".norm.running_var")]:
        gamma = name.replace("running_var", "weight")
        variance = state[name].double()
        ratio = torch.sqrt((variance + norm.epsilon) / (variance + weights.epsilon))
        state[gamma] = (state[gamma].double() * ratio).float()
    return state


def _thin(model: SsdLite, state: State) -> tuple[str, ...]:
    """Select a thinner model's weights from a wider backbone's, in place."""
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
    """Copy what fits; a backbone tensor that doesn't is an error, a head's is reported."""
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
                fix="Train with the width that these weights have or less (ImageNet weights: 1.0), or "
                "start from nothing: --weights none",
            )
        else:
            refused.append(name)
    if not whole:
        absent = [name for name in wanted if name.startswith("backbone.") and name not in fitting]
        assert not absent, absent
    model.load_state_dict(fitting, strict=False)
    return tuple(fitting), tuple(refused)
