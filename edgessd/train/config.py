"""Every setting of a training, as one value with one file form: `config.toml` in the run folder.

Settings come from a preset (`presets/*.toml`, chosen by the number of photos unless named), then from
the user's `--config` file, then from the command line; the later wins. An unknown key is an error.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

import msgspec
import tomli_w

from edgessd.core.errors import ConfigError
from edgessd.core.files import write_atomically

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_PRESETS = Path(__file__).resolve().parent / "presets"
SMALL_DATASET = 2000
"""Up to this many training images the preset `small-dataset` is taken, else `large-dataset`."""


class DataSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which images train and which judge.

    Attributes:
        path: The dataset's folder.
        train_splits: Splits that are trained on.
        val_split: Split that picks the best checkpoint; `auto` takes `val` where there is one and it
            isn't trained on, else holds images out; `none` evaluates nothing. A split called `test`
            is evaluated once, after the last step, and picks nothing.
        holdout: Fraction of the training images held out where `auto` finds no `val`.
        cache_mb: Memory for decoded images; the rest is decoded again each time.
    """

    path: str = ""
    train_splits: tuple[str, ...] = ("train",)
    val_split: str = "auto"
    holdout: float = 0.1
    cache_mb: int = 2048


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The detector to be trained and where its weights start.

    Attributes:
        weights: `imagenet`, `none`, a file or folder of backbone weights, or an edgessd checkpoint.
        width: MobileNetV2's width multiplier.
        input_size: (width, height) in pixels.
        scoring: `softmax` with a background column, or independent `sigmoid` columns.
        padding: `same` is TensorFlow's, `symmetric` is PyTorch's.
        resize: `stretch` images to the input, or `letterbox` them.
        anchors: `fit` chooses what follows by the training boxes; `given` takes it as it stands.
        min_scale, max_scale: Scales of the smallest and largest anchors, fractions of the input.
        scales: All levels' scales instead, one a level.
        stride_8: Add a first head at stride 8, for small and crowded objects.
        first_anchors: Anchors a cell on the first level, 3 or 6.
    """

    weights: str = "imagenet"
    width: float = 1.0
    input_size: tuple[int, int] = (300, 300)
    scoring: Literal["softmax", "sigmoid"] = "softmax"
    padding: Literal["same", "symmetric"] = "same"
    resize: Literal["stretch", "letterbox"] = "stretch"
    anchors: Literal["fit", "given"] = "fit"
    min_scale: float = 0.2
    max_scale: float = 0.95
    scales: tuple[float, ...] = ()
    stride_8: bool = False
    first_anchors: Literal[3, 6] = 3


class AugmentSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """SSD's data augmentation (sections 2.2 and 3.6 of arXiv:1512.02325).

    Attributes:
        crop: Probability of sampling a patch; its minimum IoU with a box is drawn from 0.1 to 0.9.
        crop_min_side: Shortest side of a patch as a fraction of the image's.
        zoom_out: Probability of placing the image on a larger canvas.
        zoom_out_max: Largest side of that canvas, times the image's.
        photometric: Probability of each photometric distortion.
        brightness, contrast, saturation: Largest change, as a fraction.
        hue: Largest rotation of the hue, in degrees.
        noise: Largest standard deviation of pixel noise; 0 for none.
        blur: Probability of a light blur.
        flip_horizontal, flip_vertical, transpose: Probabilities. The last two are for images without
            an up, as a microscope's or a downward camera's.
    """

    crop: float = 0.6
    crop_min_side: float = 0.4
    zoom_out: float = 0.3
    zoom_out_max: float = 2.0
    photometric: float = 0.5
    brightness: float = 0.125
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 9.0
    noise: float = 0.0
    blur: float = 0.0
    flip_horizontal: float = 0.5
    flip_vertical: float = 0.0
    transpose: float = 0.0


class LossSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Matching and the multibox loss (section 2.2 of the SSD paper).

    Attributes:
        match_iou: An anchor that overlaps a box by this much or more is positive.
        negatives_per_positive: Hard negative mining, softmax scoring only.
        min_negatives: Negatives that an image without any box contributes.
        box_weight: Weight of the box loss beside the class loss.
        label_smoothing: Of the softmax cross-entropy.
        focal_gamma, focal_alpha: Of the focal loss, sigmoid scoring only.
    """

    match_iou: float = 0.5
    negatives_per_positive: float = 3.0
    min_negatives: int = 16
    box_weight: float = 1.0
    label_smoothing: float = 0.0
    focal_gamma: float = 2.0
    focal_alpha: float = 0.25


class OptimizeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Steps and their size.

    Attributes:
        epochs: Passes over the training images.
        time_budget: Minutes; 0 for none. With a budget the learning rate falls with the time spent,
            so the schedule ends when the budget does, however fast the machine is.
        batch: Images a step on each process, before accumulation.
        accumulate: Batches whose gradients are added before a step.
        optimizer: `adamw` or `sgd` (Nesterov momentum).
        lr: Peak learning rate.
        backbone_lr: Factor on `lr` for the backbone where its weights were loaded.
        momentum: Of SGD.
        weight_decay: On convolution weights; biases and normalisation have none.
        warmup_steps: Linear rise to `lr`.
        final_lr: Where the cosine ends, as a fraction of `lr`.
        clip_norm: Largest norm of the gradient; 0 for no limit.
        freeze_norm: Keep the backbone's batch normalisation statistics as loaded.
        ema_decay: Of the moving average of the weights; 0 for none.
        ema_ramp: Steps over which the decay rises.
    """

    epochs: int = 60
    time_budget: float = 0.0
    batch: int = 16
    accumulate: int = 1
    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: float = 1e-3
    backbone_lr: float = 1.0
    momentum: float = 0.9
    weight_decay: float = 0.01
    warmup_steps: int = 50
    final_lr: float = 0.01
    clip_norm: float = 10.0
    freeze_norm: bool = False
    ema_decay: float = 0.998
    ema_ramp: int = 100

    def __post_init__(self) -> None:
        for name in ("batch", "accumulate", "epochs"):
            if getattr(self, name) < 1:
                raise ConfigError(
                    f"{name} is too small", expected=">= 1", found=str(getattr(self, name))
                )
        if not self.lr > 0:
            raise ConfigError(
                "The learning rate isn't positive", expected="> 0", found=f"{self.lr}"
            )
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(
                "ema_decay is out of range", expected="0 to below 1", found=f"{self.ema_decay}"
            )


class MachineSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the machine is used; nothing here changes what is learned but `seed` and `precision`.

    Attributes:
        seed: Of the weights, the order of images and every augmentation.
        device: `auto` takes CUDA where there is one.
        precision: `auto` takes bfloat16 autocast on CUDA and on CPUs with bfloat16 arithmetic.
        threads: Of torch on the CPU; 0 for all cores.
        workers: Processes that load images; 0 loads in one background thread of this process.
        eval_every: Epochs between evaluations.
        sheet_every: Epochs between sample sheets; 0 for none.
    """

    seed: int = 0
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    threads: int = 0
    workers: int = 0
    eval_every: int = 1
    sheet_every: int = 5


class QatSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Quantization-aware training, from a checkpoint of the float detector.

    Attributes:
        enabled: Round as the engine will; `model.weights` then names the checkpoint.
        scheme: Quantization schemes that the result shall serve; `both` takes them in turns.
        recipe: How ranges and weights are chosen to start from: a name or a .toml.
        calibration: Folder of images to choose them on; empty takes training images.
        calibration_images: Take this many of them, spread evenly.
        labels: Weight of the loss against the ground truth.
        teacher: Weight of the loss against the float detector's answers.
    """

    enabled: bool = False
    scheme: Literal["both", "affine", "symmetric"] = "both"
    recipe: str = "default"
    calibration: str = ""
    calibration_images: int = 100
    labels: float = 0.0
    teacher: float = 1.0

    def __post_init__(self) -> None:
        if not (self.labels >= 0 and self.teacher >= 0 and self.labels + self.teacher > 0):
            raise ConfigError(
                "Nothing teaches",
                expected="labels and teacher >= 0, one of them above",
                found=f"labels {self.labels:g}, teacher {self.teacher:g}",
            )


class TrainConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of one training."""

    data: DataSettings = DataSettings()
    model: ModelSettings = ModelSettings()
    augment: AugmentSettings = AugmentSettings()
    loss: LossSettings = LossSettings()
    optimize: OptimizeSettings = OptimizeSettings()
    machine: MachineSettings = MachineSettings()
    qat: QatSettings = QatSettings()


def preset_names() -> list[str]:
    """Names that `--preset` takes."""
    return sorted(path.stem for path in _PRESETS.glob("*.toml"))


def read_settings(path: Path) -> dict[str, Any]:
    """The tables of a TOML file."""
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise ConfigError("The settings file is missing", found=str(path)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} isn't valid TOML", found=str(error), fix="Correct that line"
        ) from error


def read_preset(name: str) -> dict[str, Any]:
    """The tables of a preset."""
    path = _PRESETS / f"{name}.toml"
    if not path.is_file():
        raise ConfigError(
            "There is no such preset", expected=" or ".join(preset_names()), found=name
        )
    return read_settings(path)


def merge(*layers: dict[str, Any]) -> TrainConfig:
    """Layer tables over each other, the later wins, and validate the outcome."""
    merged: dict[str, dict[str, Any]] = {}
    for layer in layers:
        for section, values in layer.items():
            if not isinstance(values, dict):
                raise ConfigError(
                    f"The setting {section!r} stands outside a section",
                    expected="[data], [model], [augment], [loss], [optimize], [machine] or [qat] "
                    "above it",
                    found=f"{section} = {values!r}",
                )
            merged.setdefault(section, {}).update(values)
    return _validated(merged)


def load_config(path: Path) -> TrainConfig:
    """The settings of a run folder's config.toml."""
    return _validated(read_settings(path))


def save_config(path: Path, config: TrainConfig) -> None:
    """Write every setting, whether it was given or not."""
    write_atomically(path, tomli_w.dumps(msgspec.to_builtins(config)))


def _validated(tables: dict[str, Any]) -> TrainConfig:
    try:
        return msgspec.convert(tables, TrainConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(
            "The training settings don't hold",
            found=str(error),
            fix="`edgessd train --help` lists the settings; a run's config.toml shows all of them",
        ) from error
