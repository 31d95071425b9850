"""`edgessd compare`: measure the differences between forms of one detector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgessd.cli.console import JsonFlag, people, print_json

if TYPE_CHECKING:
    from edgessd.bench.comparison import ArtifactParity, Comparison


def command(
    models: Annotated[
        list[str],
        typer.Argument(
            help="The reference, then the models to compare with it: checkpoints, graphs or bundles.",
            metavar="MODEL",
        ),
    ],
    data: Annotated[
        list[Path],
        typer.Option(
            help="A dataset or a folder of images; all its images are used. Repeat it for several.",
            metavar="DIR",
        ),
    ],
    images_only: Annotated[
        bool,
        typer.Option("--images-only", help="Use the images of the folders without their labels."),
    ] = False,
    threads: Annotated[int | None, typer.Option(help="CPU threads of each model.", min=1)] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help="Write an HTML page with classes, layers and the images that differ most.",
            metavar="FILE",
        ),
    ] = None,
    kernels: Annotated[
        bool,
        typer.Option(help="Also run each .tflite with LiteRT's own kernels, without XNNPACK."),
    ] = True,
    layers: Annotated[
        bool,
        typer.Option(
            help="Compare inner tensors, and name the first that differs from the reference's."
        ),
    ] = True,
    as_json: JsonFlag = False,
) -> None:
    """Compare forms of one detector: agreement, AP, boxes, scores, raw outputs, inner tensors.

    Agreement AP takes the reference's detections with a score over 0.3 as the
    truth, on every image of the folders. It needs no labels.

    Example: edgessd compare cells.pt dist/cells-host --data bccd --report parity.html
    """
    from edgessd.bench.comparison import compare_models
    from edgessd.cli.compare_layers import compare_layers
    from edgessd.cli.open_model import open_measured, open_without_xnnpack
    from edgessd.cli.progress import counting
    from edgessd.core.errors import ConfigError
    from edgessd.data.comparison import comparison_set

    if len(models) < 2:
        raise ConfigError(
            "There are too few models to compare",
            expected="a reference and at least one other model",
            found=", ".join(models),
            fix="Name two models: edgessd compare REFERENCE MODEL --data DIR",
        )
    reference, *others = (open_measured(model, threads=threads) for model in models)
    if kernels:
        slower = (open_without_xnnpack(model, threads=threads) for model in models[1:])
        others += [model for model in slower if model is not None]
    chosen = comparison_set(data, reference.labels, images_only=images_only)
    with counting(f"compare on {len(chosen.images)} images") as progress:
        comparison = compare_models(reference, others, chosen.images, chosen.truth, progress)
    inner = compare_layers(models[0], models[1:], chosen.images) if layers else None
    notes = [*chosen.notes, *(inner.notes if inner else ())]
    if as_json:
        record = {**comparison.as_json(), "data": list(map(str, data))}
        for path, column in (inner.columns if inner else {}).items():
            record["artifacts"][path]["layers"] = column
        print_json(record)
    else:
        print_comparison(comparison)
    print_notes(comparison, notes, reference.notes)
    if inner is not None:
        for path, column in inner.columns.items():
            first = column["first"]
            place = (
                f"first below {column['below_db']:g} dB at {first}" if first else "none diverges"
            )
            people().print(f"inner tensors of {path}: {place}", soft_wrap=True)
    if report is not None:
        from edgessd.bench.report.comparison_page import ComparisonReport, write_comparison

        page = ComparisonReport(
            comparison=comparison, layers=inner.for_page() if inner else {}, notes=notes
        )
        write_comparison(page, report)
        people().print(f"wrote {report}", soft_wrap=True)


def print_comparison(comparison: Comparison) -> None:
    """Print one column per model, so that no number is cut off on a narrow terminal."""
    from rich.table import Table

    table = Table(title=f"Compared with {comparison.reference}", title_justify="left")
    table.add_column("")
    table.add_column(comparison.reference, justify="right", overflow="fold", style="dim")
    for path in comparison.artifacts:
        table.add_column(path, justify="right", overflow="fold")
    artifacts = list(comparison.artifacts.values())
    metrics = [comparison.reference_metrics, *(parity.metrics for parity in artifacts)]
    table.add_row("agreement AP", "1", *(_number(parity.agreement_AP) for parity in artifacts))
    for name in ("AP", "AP50"):
        table.add_row(name, *(_number(getattr(found, name, None)) for found in metrics))
    rows: dict[str, Callable[[ArtifactParity], str]] = {
        "max class drift": lambda parity: _number(parity.max_class_drift),
        "IoU": lambda parity: _number(parity.drift.mean_iou),
        "score drift": lambda parity: _number(parity.drift.mean_score_drift),
        "lost": lambda parity: str(parity.drift.lost),
        "added": lambda parity: str(parity.drift.added),
        "within 1 LSB": lambda parity: _share(parity.raw_within_1_lsb),
    }
    for name, cell in rows.items():
        table.add_row(name, "", *map(cell, artifacts))
    people().print(table)


def print_notes(
    comparison: Comparison, notes: Sequence[str], reference_notes: Sequence[str]
) -> None:
    """Print the data behind the numbers, and the images that were skipped."""
    console = people()
    console.print(
        f"{comparison.images} images, {comparison.labeled_images} with labels; "
        f"{comparison.reference_detections} detections of the reference are taken as the truth"
    )
    for sentence in comparison.skipped:
        console.print(f"skipped: {sentence}", style="yellow")
    if comparison.skipped:
        console.print(f"{len(comparison.skipped)} images skipped", style="yellow")
    notes = [*notes, *reference_notes]
    for path, parity in comparison.artifacts.items():
        notes += [f"{path}: {note}" for note in parity.notes]
    for note in notes:
        console.print(note, style="dim")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2%}"
