"""`edgessd train`: train a detector on labeled photos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from edgessd.cli.console import JsonFlag, people, print_json
from edgessd.cli.sizes import parse_size
from edgessd.core.errors import ConfigError

if TYPE_CHECKING:
    from edgessd.train.config import TrainConfig
    from edgessd.train.result import TrainResult

Layer = dict[str, dict[str, Any]]
"""Some settings, by section and name."""

_DATA = "Data"
_MODEL = "Model"
_SCHEDULE = "Schedule"
_QAT = "Quantization-aware training"
_MACHINE = "Machine"


def command(
    out: Annotated[
        Path, typer.Option(help="Run folder for checkpoints, settings and metrics.", metavar="RUN")
    ],
    data: Annotated[
        Path | None,
        typer.Option(help="Labeled dataset in COCO, VOC or YOLO format.", metavar="DIR"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the training in --out where it stopped.")
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(help="File of settings, as a run's config.toml.", metavar="TOML"),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="Default settings: small-dataset, large-dataset, fine-tune or qat. Default: "
            "by the number of photos.",
            metavar="NAME",
        ),
    ] = None,
    train_splits: Annotated[
        str | None,
        typer.Option(
            help="Splits to train on, as train,val. Default: train.",
            metavar="NAMES",
            rich_help_panel=_DATA,
        ),
    ] = None,
    val_split: Annotated[
        str | None,
        typer.Option(
            help="Split that picks the best checkpoint; `test` is evaluated once, at the end, and "
            "picks nothing; `none` evaluates nothing. Default: val, or a tenth is held out.",
            metavar="NAME",
            rich_help_panel=_DATA,
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="Initial weights: imagenet, none, a file or folder of backbone weights, or a "
            "checkpoint.",
            metavar="WEIGHTS",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    width: Annotated[
        float | None,
        typer.Option(
            help="Width of MobileNetV2, usually 0.35 to 1.4.", metavar="X", rich_help_panel=_MODEL
        ),
    ] = None,
    input_size: Annotated[
        str | None,
        typer.Option(
            help="Input in pixels: 300 or 320x240.", metavar="SIZE", rich_help_panel=_MODEL
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            help="Passes over the training images.",
            min=1,
            metavar="N",
            rich_help_panel=_SCHEDULE,
        ),
    ] = None,
    time_budget: Annotated[
        float | None,
        typer.Option(
            help="Time for the whole schedule, instead of --epochs.",
            min=0.01,
            metavar="MINUTES",
            rich_help_panel=_SCHEDULE,
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(help="Images per batch.", min=1, metavar="N", rich_help_panel=_SCHEDULE),
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option(help="Peak learning rate.", metavar="X", rich_help_panel=_SCHEDULE),
    ] = None,
    qat: Annotated[
        bool,
        typer.Option(
            "--qat",
            help="Quantize during training, starting from the detector that --weights names. Data and "
            "augmentation are by default those of its run.",
            rich_help_panel=_QAT,
        ),
    ] = False,
    qat_scheme: Annotated[
        Literal["both", "affine", "symmetric"] | None,
        typer.Option(
            help="affine for LiteRT, symmetric for TensorRT. By default both, alternating.",
            rich_help_panel=_QAT,
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            help="Folder of images for the initial ranges. Default: training images.",
            metavar="DIR",
            rich_help_panel=_QAT,
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(help="CPU threads.", min=1, metavar="N", rich_help_panel=_MACHINE),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Loader processes; 0 loads in one thread.",
            min=0,
            metavar="N",
            rich_help_panel=_MACHINE,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            help="Seed of weights, order and augmentation.",
            metavar="N",
            rich_help_panel=_MACHINE,
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="auto, cpu or cuda.", metavar="NAME", rich_help_panel=_MACHINE),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Train an SSDLite detector on labeled photos.

    Example: edgessd train --data bccd --out runs/cells --epochs 60

    Then for int8: edgessd train --qat --weights runs/cells/best.pt --out runs/int8

    On four GPUs: torchrun --nproc-per-node 4 -m edgessd train --data coco --out runs/coco
    """
    given: Layer = {
        "data": {
            "path": None if data is None else str(data),
            "train_splits": _names(train_splits),
            "val_split": val_split,
        },
        "model": {"weights": weights, "width": width, "input_size": _size(input_size)},
        "optimize": {"epochs": epochs, "time_budget": time_budget, "batch": batch, "lr": lr},
        "machine": {"threads": threads, "workers": workers, "seed": seed, "device": device},
        "qat": {
            "enabled": qat or None,
            "scheme": qat_scheme,
            "calibration": None if calibration is None else str(calibration),
        },
    }
    layer = {
        section: {name: value for name, value in values.items() if value is not None}
        for section, values in given.items()
    }
    _train(out, layer, config, preset, resume, as_json)


def _train(
    out: Path, layer: Layer, config: Path | None, preset: str | None, resume: bool, as_json: bool
) -> None:
    from edgessd.train.reporter import Reporter
    from edgessd.train.run import train

    settings = _resumed(out, layer, config, preset) if resume else _new(layer, config, preset)
    is_leader = _is_leader()
    with Reporter(people() if is_leader else None) as reporter:
        result = train(settings, out, resume=resume, reporter=reporter)
    if not is_leader:
        return
    _print_summary(result)
    if as_json:
        print_json(_as_json(result))
    if not result.finished:
        raise typer.Exit(130)


def _new(layer: Layer, config: Path | None, preset: str | None) -> TrainConfig:
    from edgessd.data.dataset import load_dataset
    from edgessd.train.config import SMALL_DATASET, merge, read_preset, read_settings

    user = read_settings(config) if config else {}
    first = merge(user, layer)
    if first.qat.enabled:
        origin = _origin(Path(first.model.weights))
        first = merge(origin, user, layer)
    elif layer["qat"]:
        raise typer.BadParameter("--qat-scheme and --calibration need --qat")
    if not first.data.path:
        raise ConfigError(
            "No dataset is named",
            expected="--data DIR",
            fix="Name its folder: edgessd train --data DIR --out RUN",
        )
    if first.qat.enabled:
        return merge(read_preset(preset or "qat"), origin, user, layer)
    if preset is None:
        images = sum(map(len, load_dataset(Path(first.data.path)).splits.values()))
        preset = "small-dataset" if images <= SMALL_DATASET else "large-dataset"
        people().print(f"preset {preset}: {images} images")
    return merge(read_preset(preset), user, layer)


def _origin(checkpoint: Path) -> Layer:
    """Read the data, augmentation and loss settings of the run that a checkpoint belongs to, if any."""
    from edgessd.train.config import read_settings

    beside = checkpoint.parent / "config.toml"
    if not beside.is_file():
        return {}
    settings = read_settings(beside)
    return {name: settings[name] for name in ("data", "augment", "loss") if name in settings}


def _resumed(out: Path, layer: Layer, config: Path | None, preset: str | None) -> TrainConfig:
    """Read the run's settings; only settings that don't change the weights may be overridden."""
    import msgspec

    from edgessd.train.config import load_config

    settings = load_config(out / "config.toml")
    machine = {name: layer["machine"].pop(name, None) for name in ("threads", "workers")}
    other = [name for values in layer.values() for name in values]
    if config or preset or other:
        raise ConfigError(
            "A resumed training keeps its settings",
            expected="no other option than --out, --threads, --workers and --json",
            found=", ".join(other) or "--config or --preset",
            fix=f"Leave them out, because the settings are in {out / 'config.toml'}; or start a new "
            "training in another folder",
        )
    changed = {name: value for name, value in machine.items() if value is not None}
    return msgspec.structs.replace(
        settings, machine=msgspec.structs.replace(settings.machine, **changed)
    )


def _print_summary(result: TrainResult) -> None:
    console = people()
    console.print((result.folder / "summary.txt").read_text().rstrip())
    if not result.finished:
        console.print(f"continue with: edgessd train --out {result.folder} --resume")


def _as_json(result: TrainResult) -> dict[str, Any]:
    metrics = result.metrics
    return {
        "checkpoint": str(result.checkpoint),
        "finished": result.finished,
        "best_AP": result.position.best_AP,
        "AP": metrics.AP if metrics else None,
        "AP50": metrics.AP50 if metrics else None,
        "per_class": metrics.per_class if metrics else None,
        "images_per_second": round(result.images_per_second, 3),
        "epochs": result.position.epoch,
        "steps": result.position.step,
        "seconds": round(result.position.seconds, 1),
        "broken_images": list(result.broken_images),
    }


def _is_leader() -> bool:
    import os

    return os.environ.get("RANK", "0") == "0"


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(",") if name.strip())


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    try:
        return parse_size(text)
    except ConfigError as error:
        raise typer.BadParameter(error.paragraph(), param_hint="--input-size") from error
