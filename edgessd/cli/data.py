"""`edgessd data`: check, convert and generate datasets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgessd.cli.console import JsonFlag, people, print_json
from edgessd.core.errors import ConfigError

if TYPE_CHECKING:
    pass

app = typer.Typer(no_args_is_help=True, help="Check, convert and generate datasets.")


class Format(str, Enum):
    """Formats that `convert` writes."""

    coco = "coco"
    voc = "voc"
    yolo = "yolo"


class Resize(str, Enum):
    """How an image fills the network's input."""

    stretch = "stretch"
    letterbox = "letterbox"


@app.command()
def check(
    directory: Annotated[
        Path, typer.Argument(help="A dataset: COCO JSON, VOC XML or YOLO txt.", metavar="DIR")
    ],
    size: Annotated[
        str, typer.Option(help="Network input to judge box sizes at: W or WxH.", metavar="SIZE")
    ] = "300",
    resize: Annotated[Resize, typer.Option(help="How images fill the input.")] = Resize.stretch,
    min_scale: Annotated[
        float, typer.Option(help="Side of the smallest anchor, as in the training's config.")
    ] = 0.2,
    stride_8: Annotated[
        bool, typer.Option("--stride-8", help="With a head at stride 8, as in the config.")
    ] = False,
    first_anchors: Annotated[
        int, typer.Option(help="Anchors a cell on the first level, 3 or 6.")
    ] = 3,
    workers: Annotated[int | None, typer.Option(help="Threads that read images.", min=1)] = None,
    as_json: JsonFlag = False,
) -> None:
    """Audit a dataset: counts, box sizes, broken images, duplicates, leaks, and what anchors reach.

    Exits with 1 if something has to be mended before training, with 0 if there are only warnings.

    Example: edgessd data check bccd --size 320
    """
    from edgessd.cli.audit_tables import print_audit
    from edgessd.data.audit import as_json as audit_as_json
    from edgessd.data.audit import audit_dataset
    from edgessd.data.dataset import load_dataset
    from edgessd.data.problems import refuse
    from edgessd.model.anchor_advice import AnchorSettings, advise, anchors_for

    width, height = parse_size(size)
    settings = AnchorSettings(
        min_scale=min_scale, stride_8=stride_8, first_anchors=6 if first_anchors == 6 else 3
    )
    if first_anchors not in (3, 6):
        raise ConfigError(
            "--first-anchors is out of range", expected="3 or 6", found=str(first_anchors)
        )
    dataset = load_dataset(directory, strict=False)
    preprocess, anchors = anchors_for(settings, (width, height), resize.value)
    with progress_bar("reading images", len(dataset.split("all"))) as advance:
        audit = audit_dataset(
            dataset,
            preprocess=preprocess,
            anchors={settings.name: anchors},
            workers=workers,
            progress=advance,
        )
    advice = advise(dataset.split("all"), settings, preprocess)
    if as_json:
        found = audit_as_json(audit)
        found["advice"] = None if advice is None else advice.as_json()
        print_json(found)
    else:
        print_audit(audit, advice)
    refuse(directory, audit.problems)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="The dataset to read.", metavar="SRC")],
    destination: Annotated[Path, typer.Argument(help="A new folder.", metavar="DST")],
    to: Annotated[Format, typer.Option(help="The format to write.")],
    split: Annotated[
        str | None,
        typer.Option(
            help="Divide the images anew, as 0.8,0.2 (train, val) or 0.8,0.1,0.1 (train, val, test). "
            "By the pictures' content, so copies stay together.",
            metavar="SHARES",
        ),
    ] = None,
    link: Annotated[
        bool, typer.Option("--link/--copy", help="Link to the images or copy them.")
    ] = False,
    allow_unlabelled: Annotated[
        bool, typer.Option(help="Take all images without labels as background.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Write a dataset as COCO JSON, PASCAL VOC XML or YOLO txt; whole or not at all.

    Example: edgessd data convert bccd bccd-coco --to coco --link
    """
    from edgessd.cli.audit_tables import print_problems
    from edgessd.data.convert import convert_dataset
    from edgessd.data.dataset import load_dataset
    from edgessd.data.resplit import resplit_dataset

    dataset = load_dataset(source, allow_unlabelled=allow_unlabelled)
    if split is not None:
        dataset = resplit_dataset(dataset, parse_shares(split))
    total = sum(len(images) for images in dataset.splits.values())
    with progress_bar("writing images", total) as advance:
        done = convert_dataset(dataset, destination, to.value, link=link, progress=advance)
    splits = {name: len(images) for name, images in dataset.splits.items()}
    if as_json:
        print_json(
            {
                "dataset": str(destination),
                "format": to.value,
                "images": done.images,
                "boxes": done.boxes,
                "splits": splits,
                "lost": list(done.lost),
                "problems": {item.kind: item.count for item in dataset.problems},
            }
        )
        return
    console = people()
    print_problems(dataset.problems, console)
    for sentence in done.lost:
        console.print(f"[yellow]lost[/]  {sentence}")
    counts = ", ".join(f"{name} {count:,}" for name, count in splits.items())
    console.print(
        f"Wrote {done.images:,} images with {done.boxes:,} boxes to [bold]{destination}[/] ({counts})."
    )


@app.command()
def synth(
    directory: Annotated[Path, typer.Argument(help="A new folder.", metavar="DIR")],
    images: Annotated[int, typer.Option(help="Scenes of all splits together.", min=1)] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same dataset.", min=0)] = 0,
    size: Annotated[str, typer.Option(help="Size of the images.", metavar="WxH")] = "640x480",
    vary_aspect: Annotated[
        bool, typer.Option("--vary-aspect", help="Draw each image's aspect ratio.")
    ] = False,
    strength: Annotated[
        float, typer.Option(help="From 0 (clean) to 1 (every damage).", min=0, max=1)
    ] = 1.0,
    backgrounds: Annotated[
        Path | None, typer.Option(help="Photographs without codes, for half of the scenes.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that render.", min=1)] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a dataset generated before.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Generate photos of printed codes (qrcode, barcode, datamatrix, aruco) with their boxes.

    Example: edgessd data synth codes --images 2000 --seed 1
    """
    from edgessd.data.dataset import load_dataset
    from edgessd.data.synth.generate import generate_dataset

    with progress_bar("rendering", images) as advance:
        generate_dataset(
            directory,
            images=images,
            seed=seed,
            size=parse_size(size),
            workers=workers,
            vary_aspect=vary_aspect,
            strength=strength,
            backgrounds=backgrounds,
            overwrite=overwrite,
            progress=lambda _: advance(),
        )
    dataset = load_dataset(directory)
    splits = {name: len(found) for name, found in dataset.splits.items()}
    boxes = sum(len(image.boxes) for image in dataset.split("all"))
    if as_json:
        print_json(
            {
                "dataset": str(directory),
                "images": sum(splits.values()),
                "boxes": boxes,
                "labels": list(dataset.labels),
                "splits": splits,
                "seed": seed,
            }
        )
        return
    counts = ", ".join(f"{name} {count:,}" for name, count in splits.items())
    people().print(
        f"Wrote {images:,} images with {boxes:,} codes to [bold]{directory}[/] ({counts})."
    )


def parse_size(text: str) -> tuple[int, int]:
    """`320` → (320, 320), `640x480` → (640, 480).

    Raises:
        ConfigError: if it is neither.
    """
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdigit() and 0 < int(part) <= 1 << 15 for part in parts):
        raise ConfigError("A size can't be read", expected="W or WxH, as 320x240", found=text)
    return int(parts[0]), int(parts[-1])


def parse_shares(text: str) -> dict[str, float]:
    """`0.8,0.2` → train and val, `0.8,0.1,0.1` → train, val and test.

    Raises:
        ConfigError: if it isn't two or three numbers.
    """
    try:
        shares = [float(part) for part in text.split(",")]
    except ValueError:
        shares = []
    if len(shares) not in (2, 3):
        raise ConfigError(
            "The shares of --split can't be read", expected="0.8,0.2 or 0.8,0.1,0.1", found=text
        )
    return dict(zip(("train", "val", "test"), shares, strict=False))


@contextmanager
def progress_bar(title: str, total: int) -> Iterator[Callable[[], None]]:
    """A progress bar on stderr; gives the function that moves it on by one."""
    from rich.progress import Progress

    with Progress(console=people(), transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda: progress.advance(task)
