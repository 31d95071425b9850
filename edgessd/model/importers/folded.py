"""Import a detector whose batch norm is folded: a folder with graph.json and weights.npz."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from edgessd.core.anchors import AnchorLevel, AnchorSpec
from edgessd.core.contract import Contract
from edgessd.core.errors import CheckpointError, ConfigError
from edgessd.core.files import sha256_of
from edgessd.model.backbones.mobilenet_v2 import widths_that_fit
from edgessd.model.checkpoint import Checkpoint
from edgessd.model.config import Extra, HeadKind, ModelConfig
from edgessd.model.importers.folded_graph import (
    Anchors,
    FeatureMap,
    FoldedGraph,
    backbone_layer_names,
    read_folded,
    require_array,
)
from edgessd.model.layers import ConvUnit
from edgessd.model.ssdlite import SsdLite, build_model

State = dict[str, torch.Tensor]


def import_folded(directory: Path) -> Checkpoint:
    """Make a checkpoint without batch norm from a folder with graph.json and weights.npz.

    Raises:
        CheckpointError: A file is missing or damaged, a layer's shape differs from graph.json, or the
            graph isn't MobileNetV2-SSDLite.
    """
    directory = Path(directory)
    graph, weights = read_folded(directory)
    if graph.anchors is None or not graph.feature_maps or not graph.classes:
        raise CheckpointError(
            f"{directory} doesn't hold a detector",
            expected="classes, feature_maps and anchors in graph.json",
            found="a backbone alone",
            fix=f"Start training from it: edgessd train --weights {directory}",
        )
    names = _detector_layer_names(graph)
    _require_layers(graph, names, directory)
    try:
        config = _config(graph, names, weights)
        contract = _contract(graph, graph.anchors)
        model = build_model(config, contract)
        _require_same_layers(model, graph, names)
    except ConfigError as error:
        raise CheckpointError(
            f"{directory} isn't an SSDLite detector that edgessd knows",
            found=str(error),
            fix="Train a new detector with edgessd train",
        ) from error
    return Checkpoint(
        config=config,
        contract=contract,
        state=_state(model, names, weights, directory),
        provenance={
            "imported_from": "folded npz",
            "source_sha256": sha256_of(directory / "weights.npz"),
        },
    )


def _detector_layer_names(graph: FoldedGraph) -> dict[str, str]:
    names = {f"backbone.{ours}": theirs for ours, theirs in backbone_layer_names().items()}
    for index, feature in enumerate(graph.feature_maps[2:]):
        names[f"extras.{index}.squeeze"] = feature.name.replace("layer_19_2_", "layer_19_1_")
        names[f"extras.{index}.depthwise"] = f"{feature.name}/depthwise"
        names[f"extras.{index}.expand"] = feature.name
    for index, feature in enumerate(graph.feature_maps):
        for ours, theirs in (("box", "mbox_loc"), ("score", "mbox_conf")):
            names[f"heads.{index}.{ours}.depthwise"] = f"{feature.name}_{theirs}/depthwise"
            names[f"heads.{index}.{ours}.pointwise"] = f"{feature.name}_{theirs}"
    return names


def _require_layers(graph: FoldedGraph, names: dict[str, str], directory: Path) -> None:
    wanted, found = set(names.values()), {layer.name for layer in graph.layers}
    if wanted != found:
        raise CheckpointError(
            f"{directory} has other layers than MobileNetV2-SSDLite",
            expected=f"{len(wanted)} layers",
            found=f"missing: {', '.join(sorted(wanted - found)[:3]) or 'none'}; "
            f"unknown: {', '.join(sorted(found - wanted)[:3]) or 'none'}",
            fix="Train a new detector with edgessd train",
        )
    if [feature.name for feature in graph.feature_maps[:2]] != ["conv_13/expand", "Conv_1"]:
        raise CheckpointError(
            f"{directory} has its heads on other feature maps than MobileNetV2-SSDLite",
            expected="conv_13/expand and Conv_1 first",
            found=", ".join(feature.name for feature in graph.feature_maps[:2]),
            fix="Train a new detector with edgessd train",
        )


def _config(
    graph: FoldedGraph, names: dict[str, str], weights: dict[str, np.ndarray]
) -> ModelConfig:
    shapes = {
        f"{ours.removeprefix('backbone.')}.conv.weight": weights[f"{theirs}/weight"].shape
        for ours, theirs in names.items()
        if ours.startswith("backbone.")
    }
    fit = widths_that_fit(shapes)
    if fit is None:
        raise ConfigError("No width multiplier gives the backbone's channels")
    layers = {layer.name: layer for layer in graph.layers}
    extras, kinds = [], set()
    for index in range(len(graph.feature_maps) - 2):
        squeeze, expand = (
            layers[names[f"extras.{index}.{part}"]] for part in ("squeeze", "expand")
        )
        extras.append(Extra(squeeze=squeeze.out_channels, channels=expand.out_channels))
        kinds.add(expand.activation)
    heads: tuple[HeadKind, ...] = tuple("separable" for _ in graph.feature_maps)
    return ModelConfig(
        width=fit[0],
        channel_multiple=fit[1],
        padding=graph.padding_kind,
        extras=tuple(extras),
        extra_activation="none" if "none" in kinds else "relu6",
        heads=heads,
        batch_norm=None,
    )


def _contract(graph: FoldedGraph, anchors: Anchors) -> Contract:
    levels = tuple(
        _anchor_level(feature, anchors, index) for index, feature in enumerate(graph.feature_maps)
    )
    scoring = graph.scoring
    return Contract(
        preprocess=graph.preprocess,
        anchors=AnchorSpec(levels=levels),
        labels=graph.classes[1:] if scoring.background else graph.classes,
        box_code=graph.variances,
        scoring=scoring,
    )


def _anchor_level(feature: FeatureMap, anchors: Anchors, index: int) -> AnchorLevel:
    """Make one level; shapes are min, sqrt(min * max) if max is given, wide and tall of each ratio."""
    low, high = anchors.min[index], anchors.max[index]
    sides = [(low, low)]
    if high is not None:
        sides.append(((low * high) ** 0.5,) * 2)
    for ratio in anchors.ratios[index]:
        sides += [(low * ratio**0.5, low / ratio**0.5), (low / ratio**0.5, low * ratio**0.5)]
    if len(sides) != feature.anchors:
        raise ConfigError(
            f"graph.json contradicts itself about {feature.name}",
            expected=f"{feature.anchors} anchors per cell",
            found=f"{len(sides)} from its sides and ratios",
        )
    size = anchors.image_size
    return AnchorLevel(
        rows=feature.size,
        columns=feature.size,
        step=(1 / feature.size, 1 / feature.size),
        shapes=tuple((width / size, height / size) for width, height in sides),
    )


def _require_same_layers(model: SsdLite, graph: FoldedGraph, names: dict[str, str]) -> None:
    """Check the stride and activation of each layer, which the weights alone don't show."""
    layers = {layer.name: layer for layer in graph.layers}
    for ours, theirs in names.items():
        module = model.get_submodule(ours)
        stride, activation = 1, "none"
        if isinstance(module, ConvUnit):
            stride = module.conv.stride[0]
            activation = "relu6" if isinstance(module.activation, nn.ReLU6) else "none"
        found = layers[theirs]
        if (found.stride, found.activation) != (stride, activation):
            raise ConfigError(
                f"The layer {theirs} has another stride or activation",
                expected=f"stride {stride}, activation {activation}",
                found=f"stride {found.stride}, activation {found.activation}",
            )


def _state(
    model: SsdLite, names: dict[str, str], weights: dict[str, np.ndarray], directory: Path
) -> State:
    state: State = {}
    for key, wanted in model.state_dict().items():
        unit, _, leaf = key.rpartition(".")
        theirs = f"{names[unit.removesuffix('.conv')]}/{leaf}"
        require_array(weights, theirs, tuple(wanted.shape), directory)
        state[key] = torch.from_numpy(weights[theirs].copy())
    return state
