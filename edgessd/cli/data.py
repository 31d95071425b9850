"""`edgessd data`: check, convert and generate datasets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from edgessd.cli.console import JsonFlag, people, print_json
from edgessd.cli.sizes import parse_size
from edgessd.core.errors import ConfigError

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Check, convert and generate datasets."
)


class Format(str, Enum):
    """Formats that `edgessd data convert` writes."""

    coco = "coco"
    voc = "voc"
    yolo = "yolo"


class Resize(str, Enum):
    """Ways to fit an image into the network's input."""

    stretch = "stretch"
    letterbox = "letterbox"


@app.command()
def check(
    directory: Annotated[
        Path, typer.Argument(help="Dataset in COCO JSON, VOC XML or YOLO txt.", metavar="DIR")
    ],
    size: Annotated[
        str, typer.Option(help="Input of the network in pixels: W or WxH.", metavar="SIZE")
    ] = "300",
    resize: Annotated[
        Resize, typer.Option(help="Way to fit images into the input.")
    ] = Resize.stretch,
    min_scale: Annotated[
        float,
        typer.Option(
            help="Side of the smallest anchor, a fraction of the input.", metavar="FRACTION"
        ),
    ] = 0.2,
    stride_8: Annotated[
        bool, typer.Option("--stride-8", help="Include the anchors of a head at stride 8.")
    ] = False,
    first_anchors: Annotated[
        int, typer.Option(help="Anchors per cell on the first level, 3 or 6.", metavar="N")
    ] = 3,
    workers: Annotated[
        int | None, typer.Option(help="Number of reading threads.", min=1, metavar="N")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Audit a dataset: counts, box sizes, broken images, copies, leaks and the reach of anchors.

    The exit code is 1 if an error has to be fixed before training, and 0 with warnings alone.

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
    source: Annotated[Path, typer.Argument(help="Dataset to read.", metavar="SRC")],
    destination: Annotated[Path, typer.Argument(help="New folder to write.", metavar="DST")],
    to: Annotated[Format, typer.Option(help="Format to write.")],
    split: Annotated[
        str | None,
        typer.Option(
            help="Split the images again: 0.8,0.2 (train, val) or 0.8,0.1,0.1 (train, val, test). "
            "Copies of an image stay in one split.",
            metavar="SHARES",
        ),
    ] = None,
    link: Annotated[
        bool, typer.Option("--link/--copy", help="Link to the images instead of copying them.")
    ] = False,
    allow_unlabeled: Annotated[
        bool,
        typer.Option(
            "--allow-unlabelled",
            help="Take all images without labels as background.",
        ),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Write a dataset as COCO JSON, PASCAL VOC XML or YOLO txt.

    Example: edgessd data convert bccd bccd-coco --to coco --link
    """
    from edgessd.cli.audit_tables import print_problems
    from edgessd.data.convert import convert_dataset
    from edgessd.data.dataset import load_dataset
    from edgessd.data.resplit import resplit_dataset

    dataset = load_dataset(source, allow_unlabeled=allow_unlabeled)
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
    directory: Annotated[Path, typer.Argument(help="New folder to write.", metavar="DIR")],
    images: Annotated[
        int, typer.Option(help="Images in all splits together.", min=1, metavar="N")
    ] = 1000,
    seed: Annotated[
        int, typer.Option(help="Seed; the same seed gives the same dataset.", min=0, metavar="N")
    ] = 0,
    size: Annotated[
        str, typer.Option(help="Size of the images in pixels.", metavar="WxH")
    ] = "640x480",
    vary_aspect: Annotated[
        bool, typer.Option("--vary-aspect", help="Vary the aspect ratio of the images.")
    ] = False,
    strength: Annotated[
        float,
        typer.Option(
            help="Strength of the damage, from 0 (clean) to 1.", min=0, max=1, metavar="FRACTION"
        ),
    ] = 1.0,
    backgrounds: Annotated[
        Path | None,
        typer.Option(
            help="Folder of photos without codes, the backgrounds of half of the images.",
            metavar="DIR",
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Number of rendering processes.", min=1, metavar="N")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a dataset that was generated before.")
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


def parse_shares(text: str) -> dict[str, float]:
    """Read shares of splits: `0.8,0.2` for train and val, `0.8,0.1,0.1` for train, val and test.

    Raises:
        ConfigError: The text isn't two or three numbers.
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
    """Show a progress bar on stderr; yield the function that advances it by one."""
    from rich.progress import Progress

    with Progress(console=people(), transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda: progress.advance(task)
