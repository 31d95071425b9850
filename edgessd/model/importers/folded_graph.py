"""Read graph.json and weights.npz: a network with folded batch norm from another project.

graph.json describes the preprocessing and lists layers by the names of the Caffe implementation of
MobileNetV2-SSDLite (`Conv`, `conv_<block>/expand`, `layer_19_2_2`, `Conv_1_mbox_loc`). For a detector it
also lists feature maps, anchors and classes. weights.npz holds float32 arrays: `<layer>/weight`
(out, in / groups, k, k) and `<layer>/bias` (out,).
"""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from edgessd.core.contract import BoxCode, Preprocess, Scoring
from edgessd.core.errors import CheckpointError, ConfigError
from edgessd.model.backbones.mobilenet_v2 import STAGES


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
    """Preprocessing of the images; size is (width, height) in pixels."""

    size: tuple[int, int]
    color: Literal["RGB", "BGR"]
    mean: float
    std: float
    resize: str = "stretch"


class FeatureMap(msgspec.Struct, frozen=True, kw_only=True):
    """Feature map with a head.

    Attributes:
        name: Name of its layer.
        size: Cells along each side.
        anchors: Anchors per cell.
    """

    name: str
    size: int
    anchors: int


class Anchors(msgspec.Struct, frozen=True, kw_only=True):
    """Anchors of all levels.

    Attributes:
        min: Side of each level's smaller square, in pixels of the input.
        max: Side that gives each level's larger square, sqrt(min * max); None for no larger square.
        ratios: Aspect ratios of each level.
        image_size: Side of the input in pixels.
    """

    min: tuple[float, ...]
    max: tuple[float | None, ...]
    ratios: tuple[tuple[float, ...], ...]
    image_size: float


class FoldedGraph(msgspec.Struct, frozen=True, kw_only=True):
    """Contents of graph.json; everything after `layers` belongs to detectors alone."""

    input: Input
    padding: str
    layers: tuple[Layer, ...]
    classes: tuple[str, ...] = ()
    class_scores: str = ""
    box_code: str = ""
    feature_maps: tuple[FeatureMap, ...] = ()
    anchors: Anchors | None = None

    @property
    def preprocess(self) -> Preprocess:
        """Preprocessing for the contract.

        Raises:
            ConfigError: Images aren't stretched to the input.
        """
        if not self.input.resize.startswith("stretch"):
            raise ConfigError(
                "Images are resized in an unknown way",
                expected="stretch",
                found=self.input.resize,
            )
        width, height = self.input.size
        return Preprocess(
            width=width,
            height=height,
            color=self.input.color,
            mean=(self.input.mean,) * 3,
            std=(self.input.std,) * 3,
        )

    @property
    def padding_kind(self) -> Literal["same", "symmetric"]:
        """Padding as an option of `ModelConfig`, from the words in `padding`."""
        if "SAME" in self.padding:
            return "same"
        if "symmetric" in self.padding:
            return "symmetric"
        raise ConfigError(
            "The padding is unknown", expected="SAME or symmetric", found=self.padding
        )

    @property
    def variances(self) -> BoxCode:
        """Box code, from the four numbers after "variances" in `box_code`."""
        found = re.search(r"variances ([\d.]+) ([\d.]+) ([\d.]+) ([\d.]+)", self.box_code)
        if found is None or found[1] != found[2] or found[3] != found[4]:
            raise ConfigError(
                "The box code is unknown",
                expected="variances c c s s, c for the center and s for the size",
                found=self.box_code or "nothing",
            )
        return BoxCode(centre_variance=float(found[1]), size_variance=float(found[3]))

    @property
    def scoring(self) -> Scoring:
        """Scoring, from the words in `class_scores` and the name of the first class."""
        named = [word for word in ("sigmoid", "softmax") if word in self.class_scores]
        if len(named) != 1 or not self.classes:
            raise ConfigError(
                "The scoring is unknown", expected="sigmoid or softmax", found=self.class_scores
            )
        return Scoring(
            activation="sigmoid" if named == ["sigmoid"] else "softmax",
            background=self.classes[0].lower() == "background",
        )


def read_folded(directory: Path) -> tuple[FoldedGraph, dict[str, np.ndarray]]:
    """Read graph.json and weights.npz, and check each array against its layer.

    Raises:
        CheckpointError: A file is missing or damaged, or an array doesn't fit its layer.
    """
    for name in ("graph.json", "weights.npz"):
        if not (directory / name).is_file():
            raise CheckpointError(
                f"{directory} isn't a folded network",
                expected="a folder with graph.json and weights.npz",
                found=f"no {name}",
                fix="Name the folder that holds both files",
            )
    try:
        graph = msgspec.json.decode((directory / "graph.json").read_bytes(), type=FoldedGraph)
    except msgspec.MsgspecError as error:
        raise CheckpointError(
            f"{directory / 'graph.json'} can't be read",
            found=str(error),
            fix="Copy the file again",
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
        require_array(weights, f"{layer.name}/weight", layer.weight_shape, directory)
        require_array(weights, f"{layer.name}/bias", (layer.out_channels,), directory)
    return graph, weights


def backbone_layer_names() -> dict[str, str]:
    """Layer names in graph.json, by the path of the ConvUnit in our MobileNetV2."""
    names = {"stem": "Conv", "last": "Conv_1"}
    for index in range(sum(repeats for _, _, repeats, _ in STAGES)):
        theirs = f"conv_{index}" if index else "conv"
        parts = ("expand", "depthwise", "project") if index else ("depthwise", "project")
        names |= {f"blocks.{index}.{part}": f"{theirs}/{part}" for part in parts}
    return names


def require_array(
    weights: dict[str, np.ndarray], name: str, shape: tuple[int, ...], directory: Path
) -> None:
    """Check that an array exists, is float32 and has this shape.

    Raises:
        CheckpointError: It doesn't.
    """
    found = weights.get(name)
    if found is None or found.shape != shape or found.dtype != np.float32:
        raise CheckpointError(
            f"{directory / 'weights.npz'} doesn't fit its network",
            expected=f"{name} as float32 {shape}",
            found="no such array" if found is None else f"{found.dtype} {found.shape}",
            fix="Copy both files again",
        )
