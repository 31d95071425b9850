"""`edgessd train`: a detector from labelled photos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from edgessd.cli.console import JsonFlag, people, print_json

if TYPE_CHECKING:
    from edgessd.train.config import TrainConfig
    from edgessd.train.result import TrainResult

Layer = dict[str, dict[str, Any]]


def command(
    out: Annotated[
        Path, typer.Option(help="The run folder: checkpoints, config.toml, metrics.", metavar="RUN")
    ],
    data: Annotated[
        Path | None, typer.Option(help="A labelled dataset: COCO, VOC or YOLO.", metavar="DIR")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Settings, as in a run's config.toml.", metavar="TOML")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="small-dataset or large-dataset. Default: by the number of photos."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1)] = None,
    time_budget: Annotated[
        float | None,
        typer.Option(help="Fit the schedule into so many minutes.", min=0.01, metavar="MINUTES"),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="imagenet, none, a file or folder of backbone weights, or a checkpoint.",
            metavar="WEIGHTS",
        ),
    ] = None,
    width: Annotated[float | None, typer.Option(help="MobileNetV2's width, 0.35 to 1.4.")] = None,
    input_size: Annotated[
        str | None, typer.Option(help="Input in pixels: 300 or 320x240.", metavar="SIZE")
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Images a step.", min=1)] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    train_splits: Annotated[
        str | None, typer.Option(help="Splits to train on, as train,val. Default: train.")
    ] = None,
    val_split: Annotated[
        str | None,
        typer.Option(
            help="Split that picks the best checkpoint. `test` is evaluated once, at the end; "
            "`none` evaluates nothing. Default: val, else a tenth is held out."
        ),
    ] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.", min=1)] = None,
    workers: Annotated[
        int | None, typer.Option(help="Loader processes; 0 loads in a thread.", min=0)
    ] = None,
    seed: Annotated[int | None, typer.Option()] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    qat: Annotated[
        bool,
        typer.Option(
            "--qat",
            help="Quantization-aware: round as the engine will, from the detector that --weights names. "
            "Data and augmentation are those of its run unless named.",
        ),
    ] = False,
    qat_scheme: Annotated[
        Literal["both", "affine", "symmetric"] | None,
        typer.Option(help="affine for LiteRT, symmetric for TensorRT. Default: both in turns."),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            help="With --qat: images to choose the first ranges on. Default: training images.",
            metavar="DIR",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the training in --out, exactly.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Train an SSDLite detector on labelled photos.

    Example: edgessd train --data bccd --out runs/cells --epochs 60

    Then, for int8: edgessd train --qat --weights runs/cells/best.pt --out runs/cells-int8

    With several GPUs: torchrun --nproc-per-node 4 -m edgessd train --data coco --out runs/coco
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
    leads = _leads()
    with Reporter(people() if leads else None) as reporter:
        result = train(settings, out, resume=resume, reporter=reporter)
    if not leads:
        return
    _tell(result)
    if as_json:
        print_json(_as_json(result))
    if not result.finished:
        raise typer.Exit(130)


def _new(layer: Layer, config: Path | None, preset: str | None) -> TrainConfig:
    from edgessd.core.errors import ConfigError
    from edgessd.data.dataset import load_dataset
    from edgessd.train.config import SMALL_DATASET, merge, read_preset, read_settings

    user = read_settings(config) if config else {}
    first = merge(user, layer)
    if first.qat.enabled:
        origin = _origin(Path(first.model.weights))
        first = merge(origin, user, layer)
    elif layer["qat"]:
        raise typer.BadParameter("--qat-scheme and --calibration go with --qat")
    if not first.data.path:
        raise ConfigError(
            "No dataset is named", fix="Name its folder: edgessd train --data DIR --out RUN"
        )
    if first.qat.enabled:
        return merge(read_preset(preset or "qat"), origin, user, layer)
    if preset is None:
        images = sum(map(len, load_dataset(Path(first.data.path)).splits.values()))
        preset = "small-dataset" if images <= SMALL_DATASET else "large-dataset"
        people().print(f"preset {preset}: {images} images")
    return merge(read_preset(preset), user, layer)


def _origin(checkpoint: Path) -> Layer:
    """Data, augmentation and loss of the run that a checkpoint lies in; nothing where it lies alone."""
    from edgessd.train.config import read_settings

    beside = checkpoint.parent / "config.toml"
    if not beside.is_file():
        return {}
    settings = read_settings(beside)
    return {name: settings[name] for name in ("data", "augment", "loss") if name in settings}


def _resumed(out: Path, layer: Layer, config: Path | None, preset: str | None) -> TrainConfig:
    """The run's own settings; only what doesn't change the outcome may be given anew."""
    import msgspec

    from edgessd.core.errors import ConfigError
    from edgessd.train.config import load_config

    settings = load_config(out / "config.toml")
    machine = {name: layer["machine"].pop(name, None) for name in ("threads", "workers")}
    other = [name for values in layer.values() for name in values]
    if config or preset or other:
        raise ConfigError(
            "A resumed training keeps its settings",
            expected="only --out, --threads, --workers and --json beside --resume",
            found=", ".join(other) or "--config or --preset",
            fix=f"They are in {out / 'config.toml'}; a new training needs another --out",
        )
    changed = {name: value for name, value in machine.items() if value is not None}
    return msgspec.structs.replace(
        settings, machine=msgspec.structs.replace(settings.machine, **changed)
    )


def _tell(result: TrainResult) -> None:
    console = people()
    console.print((result.folder / "summary.txt").read_text().rstrip())
    if not result.finished:
        console.print(f"go on with: edgessd train --out {result.folder} --resume")


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


def _leads() -> bool:
    import os

    return os.environ.get("RANK", "0") == "0"


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(",") if name.strip())


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdigit() for side in sides):
        raise typer.BadParameter(
            f"{text!r} is no size; write 300 or 320x240", param_hint="--input-size"
        )
    return int(sides[0]), int(sides[-1])
