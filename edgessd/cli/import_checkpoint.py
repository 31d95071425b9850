"""`edgessd import`: make a checkpoint of a detector that another project trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgessd.cli.console import JsonFlag, people, print_json

if TYPE_CHECKING:
    from edgessd.model.checkpoint import Checkpoint

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Import a detector from another project."
)

OutOption = Annotated[Path, typer.Option("--out", help="Checkpoint file to write.", metavar="FILE")]


@app.command("folded", epilog="Example: edgessd import folded voc_detector/ --out voc.pt")
def import_folded_command(
    directory: Annotated[
        Path, typer.Argument(help="Folder with graph.json and weights.npz.", metavar="DIR")
    ],
    out: OutOption,
    json: JsonFlag = False,
) -> None:
    """Import an SSDLite detector whose batch norm is folded into its weights."""
    from edgessd.model.importers.folded import import_folded

    _write(import_folded(directory), directory, out, json)


@app.command(
    "pytorch-ssd",
    epilog="Example: edgessd import pytorch-ssd mb2-ssd-lite.pth --labels labels.txt --out cells.pt",
)
def import_pytorch_ssd_command(
    file: Annotated[
        Path,
        typer.Argument(help="State dict of an mb2-ssd-lite network (.pth).", metavar="FILE"),
    ],
    labels: Annotated[
        Path,
        typer.Option(
            "--labels",
            help="Text file with one class name per line; a first BACKGROUND is optional.",
            metavar="FILE",
        ),
    ],
    out: OutOption,
    json: JsonFlag = False,
) -> None:
    """Import mb2-ssd-lite in the layout of pytorch-ssd and jetson-inference."""
    from edgessd.model.importers.pytorch_ssd import import_pytorch_ssd, read_labels

    _write(import_pytorch_ssd(file, read_labels(labels)), file, out, json)


def _write(checkpoint: Checkpoint, source: Path, out: Path, as_json: bool) -> None:
    from edgessd.model.checkpoint import save_checkpoint

    save_checkpoint(out, checkpoint)
    spec, anchors = checkpoint.contract.preprocess, checkpoint.contract.anchors.count
    if as_json:
        print_json(
            {
                "checkpoint": str(out),
                "source": str(source),
                "labels": list(checkpoint.contract.labels),
                "input": [spec.width, spec.height],
                "width": checkpoint.config.width,
                "anchors": anchors,
            }
        )
        return
    people().print(
        f"[green]Imported[/green] {source} → {out}: MobileNetV2 {checkpoint.config.width:g}, "
        f"{spec.width}x{spec.height}, {anchors} anchors, {len(checkpoint.contract.labels)} classes.\n"
        f"Next: edgessd eval {out} --data DIR, or edgessd build --checkpoint {out} --target NAME",
        soft_wrap=True,
    )
