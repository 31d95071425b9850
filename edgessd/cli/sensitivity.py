"""`edgessd sensitivity`: rank tensors by the accuracy that quantizing each of them costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgessd.cli.console import JsonFlag, people, print_json
from edgessd.cli.model_options import CheckpointFile, RecipeName

if TYPE_CHECKING:
    from edgessd.build.sensitivity_report import SensitivityReport

_SHOWN = 15


def command(
    target: Annotated[str, typer.Option(help="Device; `edgessd targets` lists them.")] = "host",
    checkpoint: CheckpointFile = None,
    calibration: Annotated[
        Path | None,
        typer.Option(help="Folder of calibration images. Default: training images.", metavar="DIR"),
    ] = None,
    recipe: RecipeName = "default",
    images: Annotated[
        int, typer.Option(help="Number of calibration images to measure on.", min=1)
    ] = 8,
    report: Annotated[
        Path | None, typer.Option(help="Write the table as an HTML page.", metavar="FILE")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Rank the tensors by the accuracy that quantizing each of them costs.

    Each activation, and the weights of each convolution, are quantized alone,
    with the parameters of the target's build.

    Example: edgessd sensitivity --target jetson --checkpoint runs/cells/best.pt --report heat.html
    """
    from edgessd.build.sensitivity_report import report_sensitivity
    from edgessd.cli.build import CALIBRATION_IMAGES, choose_checkpoint, choose_images
    from edgessd.cli.progress import counting
    from edgessd.core.errors import TargetError
    from edgessd.quantize.recipe import load_recipe
    from edgessd.target.detect import detect_machine
    from edgessd.target.load import resolve_target

    spec, _ = resolve_target(target, detect_machine().target)
    if spec.engine.scheme == "float":
        raise TargetError(
            f"Nothing is quantized for {spec.name}",
            expected="a target with an int8 engine",
            fix="Choose another with --target; `edgessd targets` lists them",
        )
    source, is_starter = choose_checkpoint(checkpoint, Path.cwd())
    chosen = choose_images(calibration, source, is_starter=is_starter, limit=CALIBRATION_IMAGES)
    with counting("tensors") as progress:
        found = report_sensitivity(
            source,
            chosen,
            scheme=spec.engine.scheme,
            recipe=load_recipe(recipe),
            count=images,
            cache=None,
            progress=progress,
        )
    if as_json:
        print_json(found.as_json())
    else:
        _print(found)
    if report is not None:
        from edgessd.bench.report.sensitivity_page import write_sensitivity

        write_sensitivity(found.as_json(), report)
        people().print(f"wrote {report}", soft_wrap=True)


def _print(found: SensitivityReport) -> None:
    from rich.table import Table

    # Without borders and with short heads, most names of tensors fit on one or two lines of 80 columns.
    table = Table(
        title=f"Quantized alone ({found.scheme})", title_justify="left", box=None, pad_edge=False
    )
    table.add_column("tensor", overflow="fold")
    table.add_column("what")
    for name in ("share", "score\nerror", "1 - IoU", "SQNR\ndB", "beyond\nrange"):
        table.add_column(name, justify="right")
    rows = found.rows()
    for row in rows[:_SHOWN]:
        table.add_row(
            row["name"],
            row["kind"],
            f"{row['share']:.1%}",
            f"{row['score_error']:.4f}",
            f"{row['box_error']:.4f}",
            "–" if row["sqnr_db"] is None else f"{row['sqnr_db']:.1f}",
            "–" if row["saturation"] is None else f"{row['saturation']:.2%}",
        )
    console = people()
    console.print(table)
    console.print(
        f"The first {min(_SHOWN, len(rows))} of {len(rows)}; the whole quantized network moves scores "
        f"by {found.sensitivity.score_error:.4f} and boxes by {found.sensitivity.box_error:.4f}",
        soft_wrap=True,
    )
