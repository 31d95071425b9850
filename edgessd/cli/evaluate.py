"""`edgessd eval`: measure the accuracy of a detector on a labeled dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgessd.cli.console import JsonFlag, people, print_json
from edgessd.cli.model_options import BackendName, LabelFile

if TYPE_CHECKING:
    from edgessd.bench.accuracy import AccuracyReport
    from edgessd.bench.comparison import MeasuredModel
    from edgessd.data.evaluation import EvaluationSet


def command(
    model: Annotated[
        Path,
        typer.Argument(
            help="Checkpoint (.pt), bundle, .onnx or .tflite.",
            metavar="CHECKPOINT_OR_BUNDLE",
        ),
    ],
    data: Annotated[Path, typer.Option(help="Labeled dataset.", metavar="DIR")],
    split: Annotated[
        str | None,
        typer.Option(
            help="Split, or several as train+val. Default: test, else val, else all.",
            metavar="SPLIT",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for metrics.json, pr_curves.png and confusion.png.", metavar="DIR"
        ),
    ] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.", min=1)] = None,
    backend: BackendName = None,
    labels: LabelFile = None,
    record_it: Annotated[
        bool, typer.Option("--record", help="Write the result into the bundle's manifest.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Measure COCO AP, VOC AP50, precision-recall curves and confusion on a labeled dataset.

    Example: edgessd eval dist/cells-raspberry-pi --data bccd --out evaluation
    """
    from edgessd.cli.open_model import open_measured

    if record_it:
        require_bundle(model)
    opened = open_measured(model, threads=threads, backend=backend, label_file=labels)
    report, chosen = measure_accuracy(opened, data, split)
    record = report_as_json(report, opened)
    if record_it:
        record_accuracy(model, report, opened)
    if out is not None:
        write_evaluation(report, record, out)
    if as_json:
        print_json(record)
    else:
        print_accuracy(report)
    print_notes(report, opened, chosen)
    if out is not None:
        people().print(f"wrote metrics.json, pr_curves.png and confusion.png to {out}")


def measure_accuracy(
    opened: MeasuredModel, data: Path, split: str | None
) -> tuple[AccuracyReport, EvaluationSet]:
    """Run an opened model over a labeled dataset with a progress bar."""
    from edgessd.bench.accuracy import evaluate
    from edgessd.cli.progress import counting
    from edgessd.data.evaluation import evaluation_set

    chosen = evaluation_set(data, opened.labels, split)
    with counting(f"eval {chosen.data} ({chosen.split})") as progress:
        report = evaluate(
            lambda image: opened.run(image).detections,
            chosen.images,
            opened.labels,
            progress,
            nms=opened.nms,
            data=chosen.data,
            split=chosen.split,
        )
    return report, chosen


def report_as_json(report: AccuracyReport, opened: MeasuredModel) -> dict[str, Any]:
    """Make the JSON record of one evaluation."""
    return {"model": opened.path, **report.as_json(), "engine": opened.details}


def write_evaluation(report: AccuracyReport, record: dict[str, Any], out: Path) -> None:
    """Write the numbers and the plots into a folder."""
    import json

    from edgessd.core.files import write_atomically

    write_atomically(out / "metrics.json", json.dumps(record, indent=2, allow_nan=False) + "\n")
    report.write_plots(out)


def require_bundle(model: Path) -> None:
    """Check before the measurement that the model has a manifest to write into."""
    from edgessd.bundle.verify import read_manifest

    read_manifest(model)


def record_accuracy(model: Path, report: AccuracyReport, opened: MeasuredModel) -> None:
    """Write an accuracy into a bundle's manifest; replace an older one of the same data and split."""
    from edgessd.bench.measured_model import engine_sentence
    from edgessd.bundle.quality import Accuracy
    from edgessd.bundle.store import add_accuracy

    add_accuracy(
        model,
        Accuracy(
            data=report.data,
            split=report.split,
            images=report.images,
            boxes=report.boxes,
            skipped=len(report.skipped),
            score_threshold=report.nms.score_threshold,
            iou_threshold=report.nms.iou_threshold,
            max_candidates=report.nms.max_candidates,
            engine=engine_sentence(opened.details),
            AP=round(report.metrics.AP, 6),
            AP50=round(report.metrics.AP50, 6),
        ),
    )


def print_accuracy(report: AccuracyReport) -> None:
    """Print the 12 numbers and a row a class for people."""
    from rich.table import Table

    console = people()
    table = Table(title="Accuracy by class", title_justify="left")
    table.add_column("class")
    for name in ("boxes", "AP", "AP50", "VOC07 AP50", "VOC10 AP50"):
        table.add_column(name, justify="right")
    boxes = {item.label: item.boxes for item in report.matches}
    for label, numbers in report.metrics.per_class.items():
        voc = report.voc.per_class[label]
        if boxes[label]:
            cells = [numbers["AP"], numbers["AP50"], voc["voc07_AP50"], voc["voc10_AP50"]]
            table.add_row(label, str(boxes[label]), *map(_number, cells))
    table.add_section()
    totals = (report.metrics.AP, report.metrics.AP50, report.voc.voc07_AP50, report.voc.voc10_AP50)
    table.add_row("all", str(report.boxes), *map(_number, totals), style="bold")
    console.print(table)
    twelve = report.metrics.twelve()
    for names in (list(twelve)[:6], list(twelve)[6:]):
        console.print("  ".join(f"{name} {_number(twelve[name])}" for name in names))
    console.print(report.describe())


def print_notes(report: AccuracyReport, opened: MeasuredModel, chosen: EvaluationSet) -> None:
    """Print what was left out, and the model's notes."""
    console = people()
    for sentence in report.skipped:
        console.print(f"skipped: {sentence}", style="yellow")
    if report.skipped:
        console.print(f"{len(report.skipped)} images skipped", style="yellow")
    if chosen.unseen:
        console.print(
            f"no box of {', '.join(chosen.unseen)}: AP leaves these classes out", style="dim"
        )
    if chosen.problems:
        console.print(
            "the dataset has problems; `edgessd data check` lists them",
            style="dim",
        )
    for note in opened.notes:
        console.print(note, style="dim")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
