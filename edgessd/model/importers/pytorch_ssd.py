"""Import mb2-ssd-lite of qfgaohao/pytorch-ssd, the layout that jetson-inference's training saves.

The file holds only a state dict. Input size, preprocessing, priors and variances are constants in that
project's code, and the labels are in a text file beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from edgessd.core.anchors import AnchorLevel, AnchorSpec
from edgessd.core.contract import BoxCode, Contract, Preprocess, Scoring
from edgessd.core.errors import CheckpointError, ConfigError
from edgessd.core.files import sha256_of
from edgessd.model.backbones.mobilenet_v2 import STAGES, widths_that_fit
from edgessd.model.checkpoint import Checkpoint, check_state, read_torch_file
from edgessd.model.config import BatchNorm, Extra, HeadKind, ModelConfig
from edgessd.model.importers.layout import State, Unit, shapes_of, take, take_units

INPUT_SIZE = 300
# Cells, input pixels between the centers of neighboring cells, smallest and largest side of each level.
# The distance isn't 300 / cells: the first level's 19 cells are 16 pixels apart.
PRIOR_LEVELS = (
    (19, 16, 60, 105),
    (10, 32, 105, 150),
    (5, 64, 150, 195),
    (3, 100, 195, 240),
    (2, 150, 240, 285),
    (1, 300, 285, 330),
)
PRIOR_RATIOS = (2, 3)
_BLOCKS = sum(repeats for _, _, repeats, _ in STAGES)


def import_pytorch_ssd(path: Path, labels: Sequence[str]) -> Checkpoint:
    """Make a checkpoint from a state dict.

    Args:
        path: The .pth file.
        labels: Class names as in jetson-inference's labels.txt; a first BACKGROUND is optional.

    Raises:
        CheckpointError: The network or layout is another one, tensors are missing, or the labels don't
            fit.
    """
    path = Path(path)
    source = read_torch_file(path)
    _require_layout(source, path)
    units = _units(_count(source, "extras"), _count(source, "regression_headers"))
    state = take_units(source, units, path) | _predictors(source, path)
    config = _config(state, path)
    try:
        contract = _contract(state, labels)
    except ConfigError as error:
        raise CheckpointError(
            f"{path} can't be imported with these labels",
            found=str(error),
            fix="Correct the labels file",
        ) from error
    checkpoint = Checkpoint(
        config=config,
        contract=contract,
        state=state,
        provenance={"imported_from": "pytorch-ssd mb2-ssd-lite", "source_sha256": sha256_of(path)},
    )
    check_state(checkpoint, str(path))
    return checkpoint


def read_labels(path: Path) -> tuple[str, ...]:
    """Read class names, one per line; empty lines are skipped.

    Raises:
        CheckpointError: The file is missing or names no class.
    """
    if not path.is_file():
        raise CheckpointError(
            f"There is no labels file {path}",
            expected="a text file with one class name per line",
            fix="Name the labels.txt that jetson-inference's training wrote beside the checkpoints",
        )
    names = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    names = tuple(name for name in names if name)
    if not names:
        raise CheckpointError(
            f"{path} names no class",
            expected="one class name per line",
            found=f"{path.stat().st_size} bytes without a name",
            fix="Name the labels.txt that jetson-inference's training wrote beside the checkpoints",
        )
    return names


def _require_layout(source: object, path: Path) -> None:
    if not isinstance(source, dict) or "classification_headers.0.0.weight" not in source:
        found = "MobileNetV1 or VGG" if _has_headers(source) else "no classification_headers"
        raise CheckpointError(
            f"{path} isn't an mb2-ssd-lite state dict",
            expected="tensors named base_net.*, extras.*, classification_headers.*",
            found=found,
            fix="Train mb2-ssd-lite there (--net=mb2-ssd-lite), or train with edgessd train",
        )
    if "base_net.1.conv.0.weight" not in source:
        raise CheckpointError(
            f"{path} has another backbone",
            expected="MobileNetV2 (mb2-ssd-lite)",
            found="MobileNetV1 or VGG",
            fix="Train mb2-ssd-lite there (--net=mb2-ssd-lite), or train with edgessd train",
        )


def _has_headers(source: object) -> bool:
    return isinstance(source, dict) and any(
        str(name).startswith("classification_headers.") for name in source
    )


def _count(source: Mapping[str, Tensor], group: str) -> int:
    return 1 + max(
        (int(name.split(".")[1]) for name in source if name.startswith(f"{group}.")), default=-1
    )


def _units(extras: int, heads: int) -> dict[str, Unit]:
    units = {"backbone.stem": Unit("base_net.0.0", "base_net.0.1")}
    for index in range(_BLOCKS):
        theirs = f"base_net.{index + 1}.conv"
        # Convolution, norm and ReLU take three places. Only the first block has no expansion.
        parts = ("expand", "depthwise", "project") if index else ("depthwise", "project")
        for place, part in enumerate(parts):
            units[f"backbone.blocks.{index}.{part}"] = _pair(theirs, 3 * place)
    units["backbone.last"] = Unit(f"base_net.{_BLOCKS + 1}.0", f"base_net.{_BLOCKS + 1}.1")
    for index in range(extras):
        for place, part in enumerate(("squeeze", "depthwise", "expand")):
            units[f"extras.{index}.{part}"] = _pair(f"extras.{index}.conv", 3 * place)
    # The last head, which has a single cell, is a 1x1 convolution alone.
    for index in range(heads - 1):
        units[f"heads.{index}.box.depthwise"] = _pair(f"regression_headers.{index}", 0)
        units[f"heads.{index}.score.depthwise"] = _pair(f"classification_headers.{index}", 0)
    return units


def _pair(prefix: str, place: int) -> Unit:
    return Unit(f"{prefix}.{place}", f"{prefix}.{place + 1}")


def _predictors(source: Mapping[str, Tensor], path: Path) -> State:
    state: State = {}
    heads = _count(source, "regression_headers")
    for index in range(heads):
        suffix = ".3" if index < heads - 1 else ""
        for ours, theirs in (("box", "regression"), ("score", "classification")):
            for leaf in ("weight", "bias"):
                name = f"{theirs}_headers.{index}{suffix}.{leaf}"
                state[f"heads.{index}.{ours}.pointwise.{leaf}"] = take(source, name, path).clone()
    return state


def _config(state: State, path: Path) -> ModelConfig:
    shapes = shapes_of(
        {
            name.removeprefix("backbone."): tensor
            for name, tensor in state.items()
            if name.startswith("backbone.")
        }
    )
    fit = widths_that_fit(shapes)
    if fit is None:
        raise CheckpointError(
            f"{path} has a backbone of unknown width",
            expected="MobileNetV2's channels times a width of 0.1 to 2",
            found=f"a stem of {shapes['stem.conv.weight'][0]} channels",
            fix="Train a new detector with edgessd train",
        )
    extras = []
    for index in range(len(PRIOR_LEVELS) - 2):
        squeeze, expand = (f"extras.{index}.{part}.conv.weight" for part in ("squeeze", "expand"))
        if squeeze not in state or expand not in state:
            raise CheckpointError(
                f"{path} is incomplete",
                expected=f"tensors extras.{index}.*",
                found="none",
                fix="Save or download the file again",
            )
        extras.append(Extra(squeeze=state[squeeze].shape[0], channels=state[expand].shape[0]))
    kinds: list[HeadKind] = ["separable" for _ in PRIOR_LEVELS[1:]]
    return ModelConfig(
        width=fit[0],
        channel_multiple=fit[1],
        padding="symmetric",
        extras=tuple(extras),
        extra_activation="none",
        heads=(*kinds, "pointwise"),
        batch_norm=BatchNorm(epsilon=1e-5),
    )


def _contract(state: State, labels: Sequence[str]) -> Contract:
    anchors = anchor_spec()
    columns = state["heads.0.score.pointwise.bias"].shape[0] // anchors.shapes_per_level[0]
    if len(labels) == columns and labels[0].lower() == "background":
        labels = labels[1:]
    if len(labels) != columns - 1:
        raise CheckpointError(
            "The labels don't fit the checkpoint",
            expected=f"{columns - 1} class names, optionally after BACKGROUND",
            found=f"{len(labels)} names",
            fix="Name the labels.txt that was written when this checkpoint was trained",
        )
    return Contract(
        preprocess=Preprocess(
            width=INPUT_SIZE, height=INPUT_SIZE, mean=(127.0,) * 3, std=(128.0,) * 3
        ),
        anchors=anchors,
        labels=tuple(labels),
        box_code=BoxCode(centre_variance=0.1, size_variance=0.2),
        scoring=Scoring(activation="softmax", background=True),
    )


def anchor_spec() -> AnchorSpec:
    """Make the anchors of pytorch-ssd: small square, larger square, then wide and tall of each ratio."""
    levels = []
    for cells, pitch, low, high in PRIOR_LEVELS:
        sides = [(low, low), (math.sqrt(low * high),) * 2]
        for ratio in PRIOR_RATIOS:
            root = math.sqrt(ratio)
            sides += [(low * root, low / root), (low / root, low * root)]
        levels.append(
            AnchorLevel(
                rows=cells,
                columns=cells,
                step=(pitch / INPUT_SIZE, pitch / INPUT_SIZE),
                shapes=tuple((width / INPUT_SIZE, height / INPUT_SIZE) for width, height in sides),
            )
        )
    return AnchorSpec(levels=tuple(levels), clip=True)
