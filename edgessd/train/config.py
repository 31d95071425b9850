"""Settings of a training, as one value with one file form: `config.toml` in the run folder.

Settings come from a preset (`presets/*.toml`), then from the user's `--config` file, then from the
command line; later settings win. Without `--preset`, the number of photos chooses the preset. An unknown
key is an error.
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
"""Largest number of training images that chooses the preset `small-dataset`."""


class DataSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Images for training and for evaluation.

    Attributes:
        path: Folder of the dataset.
        train_splits: Splits to train on.
        val_split: Split that picks the best checkpoint. `auto` takes `val` if it exists and isn't
            trained on, and holds images out otherwise. `none` evaluates nothing. The split `test`
            is evaluated once, after the last step, and picks nothing.
        holdout: Fraction of the training images that `auto` holds out if there is no `val`.
        cache_mb: Memory for decoded images in MiB; other images are decoded each time.
    """

    path: str = ""
    train_splits: tuple[str, ...] = ("train",)
    val_split: str = "auto"
    holdout: float = 0.1
    cache_mb: int = 2048


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The detector and its initial weights.

    Attributes:
        weights: `imagenet`, `none`, a file or folder of backbone weights, or an edgessd checkpoint.
        width: Width multiplier of MobileNetV2.
        input_size: (width, height) in pixels.
        scoring: `softmax` with a background column, or independent `sigmoid` columns.
        padding: Padding of stride-2 convolutions: `same` as in TensorFlow, `symmetric` as in PyTorch.
        resize: `stretch` images to the input, or `letterbox` them.
        anchors: `fit` chooses the settings below by the training boxes; `given` takes them as they
            are.
        min_scale: Scale of the smallest anchor, a fraction of the input.
        max_scale: Scale of the largest anchor, a fraction of the input.
        scales: Scale of each level, instead of `min_scale` and `max_scale`.
        stride_8: Add a first head at stride 8, for small and crowded objects.
        first_anchors: Anchors per cell on the first level, 3 or 6.
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
        crop: Probability of sampling a patch; its minimum IoU with a box is drawn from 0 to 0.9.
        crop_min_side: Smallest side of a patch, a fraction of the image's side.
        zoom_out: Probability of placing the image on a larger canvas.
        zoom_out_max: Largest side of the canvas, a multiple of the image's side.
        photometric: Probability of each photometric distortion.
        brightness: Largest change of the brightness, a fraction of 255.
        contrast: Largest change of the contrast, a fraction.
        saturation: Largest change of the saturation, a fraction.
        hue: Largest rotation of the hue, in degrees.
        noise: Largest standard deviation of pixel noise; 0 for none.
        blur: Probability of a light blur.
        flip_horizontal: Probability of swapping left and right.
        flip_vertical: Probability of swapping top and bottom, for images that have no fixed top, as
            those of a microscope or a downward camera.
        transpose: Probability of swapping the axes, for the same images.
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
        match_iou: Smallest IoU with a box that makes an anchor positive.
        negatives_per_positive: Ratio of hard negative mining; softmax scoring only.
        min_negatives: Negatives from an image without boxes.
        box_weight: Weight of the box loss; the class loss has weight 1.
        label_smoothing: Label smoothing of the softmax cross-entropy.
        focal_gamma: Focusing exponent of the focal loss; sigmoid scoring only.
        focal_alpha: Weight of the positives in the focal loss; sigmoid scoring only.
    """

    match_iou: float = 0.5
    negatives_per_positive: float = 3.0
    min_negatives: int = 16
    box_weight: float = 1.0
    label_smoothing: float = 0.0
    focal_gamma: float = 2.0
    focal_alpha: float = 0.25


class OptimizeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Number and size of the optimizer's steps.

    Attributes:
        epochs: Passes over the training images.
        time_budget: Time for the training in minutes; 0 for no limit. With a budget, the learning
            rate follows the time spent instead of the steps, so that the schedule ends in time on
            any machine.
        batch: Images per batch on each process.
        accumulate: Batches per step; their gradients are averaged.
        optimizer: `adamw`, or `sgd` with Nesterov momentum.
        lr: Peak learning rate.
        backbone_lr: Factor on `lr` for a backbone with loaded weights.
        momentum: Momentum of SGD.
        weight_decay: Decay of convolution weights; biases and normalization have none.
        warmup_steps: Steps of the linear rise to `lr`.
        final_lr: Learning rate at the end, a fraction of `lr`.
        clip_norm: Largest norm of the gradient; 0 for no limit.
        freeze_norm: Keep the backbone's loaded batch normalization statistics.
        ema_decay: Decay of the weights' moving average; 0 for no average.
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
                    f"The setting {name!r} is too small",
                    expected="at least 1",
                    found=str(getattr(self, name)),
                )
        if not self.lr > 0:
            raise ConfigError(
                "The learning rate isn't positive", expected="lr above 0", found=f"{self.lr}"
            )
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(
                "The setting 'ema_decay' is out of range",
                expected="at least 0 and below 1",
                found=f"{self.ema_decay}",
            )


class MachineSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Use of the machine; only `seed` and `precision` change the trained weights.

    Attributes:
        seed: Seed of the weights, the order of the images and the augmentation.
        device: `auto`, `cpu`, `cuda` or `cuda:N`; `auto` takes CUDA if there is a device.
        precision: `auto` takes bfloat16 autocast on CUDA and on CPUs with bfloat16 arithmetic.
        threads: CPU threads of torch; 0 for all cores.
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
    """Quantization-aware training, which starts from a checkpoint of the float detector.

    Attributes:
        enabled: Quantize during training; `model.weights` then names the checkpoint.
        scheme: Quantization schemes that the result serves; `both` alternates between them.
        recipe: Recipe of the initial ranges and weights: a name or a .toml file.
        calibration: Folder of images for the initial ranges; empty takes training images.
        calibration_images: Number of these images, evenly spaced in the folder.
        labels: Weight of the loss against the ground truth.
        teacher: Weight of the loss against the outputs of the float detector.
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
                "Quantization-aware training has no loss",
                expected="labels and teacher at least 0, and one of them above 0",
                found=f"labels {self.labels:g}, teacher {self.teacher:g}",
            )


class TrainConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of one training, by section of the file."""

    data: DataSettings = DataSettings()
    model: ModelSettings = ModelSettings()
    augment: AugmentSettings = AugmentSettings()
    loss: LossSettings = LossSettings()
    optimize: OptimizeSettings = OptimizeSettings()
    machine: MachineSettings = MachineSettings()
    qat: QatSettings = QatSettings()


def preset_names() -> list[str]:
    """List the names that `--preset` accepts."""
    return sorted(path.stem for path in _PRESETS.glob("*.toml"))


def read_settings(path: Path) -> dict[str, Any]:
    """Read the tables of a TOML file.

    Raises:
        ConfigError: The file is missing or isn't valid TOML.
    """
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise ConfigError(
            "The settings file is missing",
            expected=str(path),
            found="no such file",
            fix="Name an existing file with --config, or the run folder to resume with --out",
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} isn't valid TOML", found=str(error), fix="Correct that line of the file"
        ) from error


def read_preset(name: str) -> dict[str, Any]:
    """Read the tables of a preset.

    Raises:
        ConfigError: There is no such preset.
    """
    path = _PRESETS / f"{name}.toml"
    if not path.is_file():
        raise ConfigError(
            "There is no such preset", expected=" or ".join(preset_names()), found=name
        )
    return read_settings(path)


def merge(*layers: dict[str, Any]) -> TrainConfig:
    """Merge tables into one set of settings; later tables win.

    Raises:
        ConfigError: An unknown key, a value of the wrong type or out of range.
    """
    merged: dict[str, dict[str, Any]] = {}
    for layer in layers:
        for section, values in layer.items():
            if not isinstance(values, dict):
                raise ConfigError(
                    f"The setting {section!r} is outside of all sections",
                    expected="[data], [model], [augment], [loss], [optimize], [machine] or [qat] "
                    "above it",
                    found=f"{section} = {values!r}",
                )
            merged.setdefault(section, {}).update(values)
    return _validated(merged)


def load_config(path: Path) -> TrainConfig:
    """Read the settings in a run folder's config.toml."""
    return _validated(read_settings(path))


def save_config(path: Path, config: TrainConfig) -> None:
    """Write all settings, defaults included."""
    write_atomically(path, tomli_w.dumps(msgspec.to_builtins(config)))


def _validated(tables: dict[str, Any]) -> TrainConfig:
    try:
        return msgspec.convert(tables, TrainConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(
            "The training settings are invalid",
            found=str(error),
            fix="Correct that setting; the config.toml of a run folder lists all of them",
        ) from error
