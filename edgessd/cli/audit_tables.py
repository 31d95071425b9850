"""Print a dataset's audit for people, as tables on stderr."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from edgessd.cli.console import people
from edgessd.data.audit import SIZE_EDGES, Audit
from edgessd.data.problems import Problem

if TYPE_CHECKING:
    from rich.console import Console

    from edgessd.model.anchor_advice import AnchorAdvice

_BAR_WIDTH = 28
_MOST_CLASSES = 30


def print_audit(audit: Audit, advice: AnchorAdvice | None) -> None:
    """Print all findings of an audit."""
    console = people()
    total = audit.total
    console.print(
        f"[bold]{escape(str(audit.dataset.root))}[/]  {audit.dataset.format.upper()}, "
        f"{total.images:,} images, {total.boxes:,} boxes, {len(audit.dataset.labels)} classes"
    )
    for table in (_splits(audit), _classes(audit), _sizes(audit), _reach(audit, advice)):
        console.print()
        console.print(table)
    if advice is not None:
        console.print(
            "\nAnchors that fit better, for the \\[model] section of a training's config "
            f"({advice.anchors:,} anchors instead of {advice.anchors_now:,}):"
        )
        for line in advice.settings.lines:
            console.print(f"  {line}", style="bold", markup=False)
    console.print()
    if audit.problems:
        print_problems(audit.problems, console)
    else:
        console.print("[green]No problem found.[/]")


def print_problems(problems: Sequence[Problem], console: Console) -> None:
    """Print each kind of problem, its first places and its treatment."""
    for problem in problems:
        color = "red" if problem.severity == "error" else "yellow"
        console.print(
            f"[bold {color}]{problem.severity}[/]  {problem.text} [dim]({problem.done})[/]"
        )
        for place in problem.where[:5]:
            console.print(f"         {escape(place)}", style="dim")
        if problem.count > 5:
            console.print(
                f"         and {problem.count - 5:,} more (--json lists all)", style="dim"
            )


def _splits(audit: Audit) -> Table:
    table = _table("split", "images", "boxes", "boxes/image", "background", "ignored")
    rows = {**audit.splits, **({"total": audit.total} if len(audit.splits) > 1 else {})}
    for name, count in rows.items():
        table.add_row(
            name,
            f"{count.images:,}",
            f"{count.boxes:,}",
            f"{count.boxes / max(1, count.images):.1f}",
            f"{count.background:,}",
            f"{count.ignored:,}",
            style="bold" if name == "total" else None,
        )
    (width, height), most = next(iter(audit.image_sizes.items()))
    others = len(audit.image_sizes) - 1
    table.caption = f"{most:,} images are {width}x{height}" + (
        f", the others have {others:,} other sizes" if others else ""
    )
    table.caption_justify = "left"
    return table


def _classes(audit: Audit) -> Table:
    table = _table("class", *audit.splits, "share")
    order = sorted(range(len(audit.dataset.labels)), key=lambda i: -audit.total.per_class[i])
    boxes = max(1, audit.total.boxes)
    most = max(audit.total.per_class)
    for index in order[:_MOST_CLASSES]:
        count = audit.total.per_class[index]
        table.add_row(
            escape(audit.dataset.labels[index]),
            *(f"{split.per_class[index]:,}" for split in audit.splits.values()),
            f"{count / boxes:.1%}",
            _bar(count, most),
        )
    if len(order) > _MOST_CLASSES:
        table.caption = f"and {len(order) - _MOST_CLASSES} rarer classes (--json lists all)"
        table.caption_justify = "left"
    return table


def _sizes(audit: Audit) -> Table:
    side = (audit.preprocess.width * audit.preprocess.height) ** 0.5
    table = _table("box side, of the input", f"pixels of {audit.preprocess.width}", "boxes")
    most = max(1, *audit.box_sizes)
    for low, high, count in zip(SIZE_EDGES, SIZE_EDGES[1:], audit.box_sizes, strict=False):
        table.add_row(
            f"{low:.0%} to {high:.0%}",
            f"{low * side:.0f} to {high * side:.0f}",
            f"{count:,}",
            _bar(count, most),
        )
    return table


def _reach(audit: Audit, advice: AnchorAdvice | None) -> Table:
    sizes = ("small (to 32 px)", "medium (to 96 px)", "large")
    table = _table("anchors with IoU 0.5 or more", *sizes)
    rows = dict(audit.reach)
    if advice is not None:
        rows["advised below"] = advice.reach
    for name, reaches in rows.items():
        cells = []
        for reach in reaches:
            color = "green" if reach.share >= 0.9 else "yellow" if reach.share >= 0.6 else "red"
            cells.append(
                f"[{color}]{reach.share:.0%}[/] of {reach.boxes:,}" if reach.boxes else "no box"
            )
        table.add_row(escape(name), *cells)
    return table


def _table(first: str, *columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold cyan")
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _bar(value: int, most: int) -> str:
    """Draw a bar of eighths of a block; a value above 0 has at least one eighth."""
    eighths = max(int(value > 0), round(8 * _BAR_WIDTH * value / max(1, most)))
    return "█" * (eighths // 8) + ("▏▎▍▌▋▊▉"[eighths % 8 - 1] if eighths % 8 else "")
