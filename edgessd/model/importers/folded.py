"""Import a detector whose batch norm is folded: a folder with graph.json and weights.npz.

graph.json lists layers by the names of the Caffe implementation of MobileNetV2-SSDLite (`Conv`,
`conv_<block>/expand`, `layer_19_2_2`, `Conv_1_mbox_loc`), feature maps, anchors, preprocessing and
classes; weights.npz has `<layer>/weight` (out, in / groups, k, k) and `<layer>/bias` (out,) float32.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import msgspec
import numpy as np
import torch

from edgessd.core.anchors import AnchorLevel, AnchorSpec
from edgessd.core.contract import BoxCode, Contract, Preprocess, Scoring
from edgessd.core.errors import CheckpointError, ConfigError
from edgessd.core.files import sha256_of
from edgessd.model.backbones.mobilenet_v2 import STAGES, widths_that_fit
from edgessd.model.checkpoint import Checkpoint
from edgessd.model.config import Extra, HeadKind, ModelConfig
from edgessd.model.ssdlite import SsdLite, build_model

State = dict[str, torch.Tensor]


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One convolution of graph.json."""

    name: str
    kind: str
    kernel: int
    stride: int
    in_channels: int
    out_channels: int
    activation: str

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        per_group = 1 if self.kind == "depthwise" else self.in_channels
        return self.out_channels, per_group, self.kernel, self.kernel


class Input(msgspec.Struct, frozen=True, kw_only=True):
    size: tuple[int, int]
    color: str
    mean: float
    std: float
    resize: str = "stretch"


class FeatureMap(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    size: int
    anchors: int


class Anchors(msgspec.Struct, frozen=True, kw_only=True):
    """Sides in pixels of the input; `max` None leaves out the larger square of a level."""

    min: tuple[float, ...]
    max: tuple[float | None, ...]
    ratios: tuple[tuple[float, ...], ...]
    image_size: float


class FoldedGraph(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of graph.json that a backbone has too, and those only a detector has."""

    input: Input
    padding: str
    layers: tuple[Layer, ...]
    classes: tuple[str, ...] = ()
    class_scores: str = ""
    box_code: str = ""
    feature_maps: tuple[FeatureMap, ...] = ()
    anchors: Anchors | None = None


def import_folded(directory: Path) -> Checkpoint:
    """The detector of a folder as a checkpoint without batch norm.

    Raises:
        CheckpointError: A file is missing or damaged, a layer has another shape than graph.json says,
            or the graph isn't an SSDLite on MobileNetV2.
    """
    directory = Path(directory)
    graph, weights = read_folded(directory)
    if graph.anchors is None or not graph.feature_maps or not graph.classes:
        raise CheckpointError(
            f"{directory} is no detector",
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
    except ConfigError as error:
        raise CheckpointError(f"{directory} isn't an SSDLite detector", found=str(error)) from error
    return Checkpoint(
        config=config,
        contract=contract,
        state=_state(model, names, weights, directory),
        provenance={
            "imported_from": "folded npz",
            "source_sha256": sha256_of(directory / "weights.npz"),
        },
    )


def read_folded(directory: Path) -> tuple[FoldedGraph, dict[str, np.ndarray]]:
    """graph.json and weights.npz, each tensor checked against its layer."""
    for name in ("graph.json", "weights.npz"):
        if not (directory / name).is_file():
            raise CheckpointError(
                f"{directory} isn't a folded network",
                expected="a folder with graph.json and weights.npz",
                found=f"no {name}",
            )
    try:
        graph = msgspec.json.decode((directory / "graph.json").read_bytes(), type=FoldedGraph)
    except msgspec.MsgspecError as error:
        raise CheckpointError(
            f"{directory / 'graph.json'} can't be read", found=str(error)
        ) from error
    try:
        with np.load(directory / "weights.npz", allow_pickle=False) as archive:
            weights = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise CheckpointError(
            f"{directory / 'weights.npz'} can't be read",
            expected="a whole npz archive of float32 arrays",
            found=str(error),
            fix="Copy the file again",
        ) from error
    for layer in graph.layers:
        _require_array(weights, f"{layer.name}/weight", layer.weight_shape, directory)
        _require_array(weights, f"{layer.name}/bias", (layer.out_channels,), directory)
    return graph, weights


def backbone_layer_names() -> dict[str, str]:
    """ConvUnit path inside our MobileNetV2 → layer name in graph.json."""
    names = {"stem": "Conv", "last": "Conv_1"}
    for index in range(sum(repeats for _, _, repeats, _ in STAGES)):
        theirs = f"conv_{index}" if index else "conv"
        parts = ("expand", "depthwise", "project") if index else ("depthwise", "project")
        names |= {f"blocks.{index}.{part}": f"{theirs}/{part}" for part in parts}
    return names


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
        )
    if [feature.name for feature in graph.feature_maps[:2]] != ["conv_13/expand", "Conv_1"]:
        raise CheckpointError(
            f"{directory} takes its predictions from other feature maps",
            expected="conv_13/expand and Conv_1 first",
            found=", ".join(feature.name for feature in graph.feature_maps[:2]),
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
        padding="same" if "SAME" in graph.padding else "symmetric",
        extras=tuple(extras),
        extra_activation="none" if kinds == {"none"} else "relu6",
        heads=heads,
        batch_norm=None,
    )


def _contract(graph: FoldedGraph, anchors: Anchors) -> Contract:
    levels = tuple(
        _anchor_level(feature, anchors, index) for index, feature in enumerate(graph.feature_maps)
    )
    width, height = graph.input.size
    background = graph.classes[0].lower() == "background"
    return Contract(
        preprocess=Preprocess(
            width=width,
            height=height,
            color="BGR" if graph.input.color == "BGR" else "RGB",
            mean=(graph.input.mean,) * 3,
            std=(graph.input.std,) * 3,
        ),
        anchors=AnchorSpec(levels=levels),
        labels=graph.classes[1:] if background else graph.classes,
        box_code=BoxCode(centre_variance=0.1, size_variance=0.2),
        scoring=Scoring(
            activation="sigmoid" if "sigmoid" in graph.class_scores else "softmax",
            background=background,
        ),
    )


def _anchor_level(feature: FeatureMap, anchors: Anchors, index: int) -> AnchorLevel:
    """Order in graph.json: min; sqrt(min max) where max is given; wide and tall of each ratio."""
    low, high = anchors.min[index], anchors.max[index]
    sides = [(low, low)]
    if high is not None:
        sides.append(((low * high) ** 0.5,) * 2)
    for ratio in anchors.ratios[index]:
        sides += [(low * ratio**0.5, low / ratio**0.5), (low / ratio**0.5, low * ratio**0.5)]
    if len(sides) != feature.anchors:
        raise ConfigError(
            f"graph.json contradicts itself about {feature.name}",
            expected=f"{feature.anchors} anchors a cell",
            found=f"{len(sides)} from its sides and ratios",
        )
    size = anchors.image_size
    return AnchorLevel(
        rows=feature.size,
        columns=feature.size,
        step=(1 / feature.size, 1 / feature.size),
        shapes=tuple((width / size, height / size) for width, height in sides),
    )


def _state(
    model: SsdLite, names: dict[str, str], weights: dict[str, np.ndarray], directory: Path
) -> State:
    state: State = {}
    for key, wanted in model.state_dict().items():
        unit, _, leaf = key.rpartition(".")
        theirs = f"{names[unit.removesuffix('.conv')]}/{leaf}"
        _require_array(weights, theirs, tuple(wanted.shape), directory)
        state[key] = torch.from_numpy(weights[theirs].copy())
    return state


def _require_array(
    weights: dict[str, np.ndarray], name: str, shape: tuple[int, ...], directory: Path
) -> None:
    found = weights.get(name)
    if found is None or found.shape != shape or found.dtype != np.float32:
        raise CheckpointError(
            f"{directory / 'weights.npz'} doesn't fit its network",
            expected=f"{name} as float32 {shape}",
            found="no such array" if found is None else f"{found.dtype} {found.shape}",
        )
