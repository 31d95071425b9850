"""`edgessd compare`: how closely several forms of a detector follow the first one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgessd.cli.console import JsonFlag, people, print_json

if TYPE_CHECKING:
    from edgessd.bench.comparison import Comparison
    from edgessd.data.comparison import ComparisonSet


def command(
    models: Annotated[
        list[str],
        typer.Argument(
            help="The reference, then what is compared with it: checkpoints, graphs or bundles.",
            metavar="REF B...",
        ),
    ],
    data: Annotated[
        list[Path],
        typer.Option(
            help="A dataset or a folder of images, all of it; may be given again.", metavar="DIR"
        ),
    ],
    images_only: Annotated[
        bool, typer.Option("--images-only", help="Take the folders' images and ignore labels.")
    ] = False,
    threads: Annotated[int | None, typer.Option(help="CPU threads of each model.", min=1)] = None,
    as_json: JsonFlag = False,
) -> None:
    """Compare forms of one detector: agreement AP, AP, and raw outputs within 1 LSB.

    Agreement AP takes what REF finds over 0.3 as the truth and scores the others against it, over
    every image of the folders; labels aren't needed for it.

    Example: edgessd compare cells.pt dist/cells-host dist/cells-raspberry-pi --data bccd
    """
    from edgessd.bench.comparison import compare_models
    from edgessd.cli.models import open_measured
    from edgessd.cli.progress import counting
    from edgessd.core.errors import ConfigError
    from edgessd.data.comparison import comparison_set

    if len(models) < 2:
        raise ConfigError(
            "There is nothing to compare",
            expected="a reference and at least one other model",
            found=", ".join(models),
            fix="edgessd compare REF B --data DIR",
        )
    reference, *others = (open_measured(model, threads=threads) for model in models)
    chosen = comparison_set(data, reference.labels, images_only=images_only)
    with counting(f"compare on {len(chosen.images)} images") as progress:
        comparison = compare_models(reference, others, chosen.images, chosen.truth, progress)
    if as_json:
        print_json({**comparison.as_json(), "data": list(map(str, data))})
    else:
        print_comparison(comparison)
    print_notes(comparison, chosen, reference.notes)


def print_comparison(comparison: Comparison) -> None:
    """One row a model, for people."""
    from rich.table import Table

    table = Table(title=f"Compared with {comparison.reference}", title_justify="left")
    table.add_column("model", overflow="fold")
    for name in ("agreement AP", "within 1 LSB", "AP", "AP50", "max class drift"):
        table.add_column(name, justify="right")
    metrics = comparison.reference_metrics
    table.add_row(
        comparison.reference,
        "1",
        "",
        _number(metrics.AP if metrics else None),
        _number(metrics.AP50 if metrics else None),
        "",
        style="dim",
    )
    for path, parity in comparison.artifacts.items():
        share = parity.raw_within_1_lsb
        table.add_row(
            path,
            _number(parity.agreement_AP),
            "–" if share is None else f"{share:.2%}",
            _number(parity.metrics.AP if parity.metrics else None),
            _number(parity.metrics.AP50 if parity.metrics else None),
            _number(parity.max_class_drift),
        )
    people().print(table)


def print_notes(
    comparison: Comparison, chosen: ComparisonSet, reference_notes: tuple[str, ...]
) -> None:
    """What the numbers rest on, and what was left out."""
    console = people()
    console.print(
        f"{comparison.images} images, {comparison.labelled_images} with labels; "
        f"{comparison.reference_detections} detections of the reference stand for the truth"
    )
    for sentence in comparison.skipped:
        console.print(f"skipped: {sentence}", style="yellow")
    if comparison.skipped:
        console.print(f"{len(comparison.skipped)} images skipped", style="yellow")
    notes = [*chosen.notes, *reference_notes]
    for path, parity in comparison.artifacts.items():
        notes += [f"{path}: {note}" for note in parity.notes]
    for note in notes:
        console.print(note, style="dim")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
