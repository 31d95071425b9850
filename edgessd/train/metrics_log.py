"""Log of a training's epochs: metrics.csv, TensorBoard and curves.png."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from edgessd.core.files import replacing, write_atomically

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

COLUMNS = (
    "epoch",
    "step",
    "lr",
    "loss",
    "class_loss",
    "box_loss",
    "grad_norm",
    "positives_per_image",
    "images_per_second",
    "seconds",
    "AP",
    "AP50",
)
Row = dict[str, float]


class MetricsLog:
    """Write one row per epoch.

    Args:
        folder: The run folder.
        history: Rows of earlier epochs, when a training resumes.
        write: False in all processes but the leader: rows are kept, and no files are written.
    """

    def __init__(self, folder: Path, history: Sequence[Row], *, write: bool = True) -> None:
        self._folder = folder
        self._rows = list(history)
        self._board: SummaryWriter | None = None
        if write:
            from torch.utils.tensorboard import SummaryWriter

            purge = int(history[-1]["step"]) + 1 if history else None
            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=purge)

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._board:
            self._board.close()

    def add(self, row: Row) -> None:
        """Add the row of an epoch and write it to metrics.csv and TensorBoard."""
        self._rows.append(row)
        if not self._board:
            return
        write_atomically(self._folder / "metrics.csv", rows_as_csv(self._rows))
        for name in COLUMNS[2:]:
            if name in row:
                group = "accuracy" if name.startswith("AP") else "training"
                self._board.add_scalar(f"{group}/{name}", row[name], int(row["step"]))
        self._board.flush()

    def draw(self) -> Path | None:
        """Draw curves.png; return its path, or None if there is nothing to draw."""
        if not self._rows or not self._board:
            return None
        path = self._folder / "curves.png"
        draw_curves(self._rows, path)
        return path


def rows_as_csv(rows: Sequence[Row]) -> str:
    """Format rows as CSV; a value that an epoch doesn't have is left empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([_number(row[name]) if name in row else "" for name in COLUMNS])
    return text.getvalue()


def draw_curves(rows: Sequence[Row], path: Path) -> None:
    """Draw three panels over the epochs: losses, learning rate, and AP with AP50."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 3.8), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    losses, rates, accuracy = figure.subplots(1, 3)
    epochs = [row["epoch"] for row in rows]
    for name, color in (("class_loss", "#c2410c"), ("box_loss", "#1d4ed8")):
        losses.plot(epochs, [row[name] for row in rows], color=color, label=name.replace("_", " "))
    losses.set(title="Loss per positive anchor", xlabel="epoch", ylim=(0, None))
    losses.legend(frameon=False)
    rates.plot(epochs, [row["lr"] for row in rows], color="#475569")
    rates.set(title="Learning rate at the epoch's end", xlabel="epoch", ylim=(0, None))
    evaluated = [row for row in rows if "AP" in row]
    for name, color in (("AP50", "#15803d"), ("AP", "#7e22ce")):
        values = [row[name] for row in evaluated]
        marker = "o" if len(evaluated) < 25 else None
        accuracy.plot(
            [row["epoch"] for row in evaluated], values, color=color, label=name, marker=marker
        )
    accuracy.set(title="Accuracy of the averaged weights", xlabel="epoch", ylim=(0, 1))
    if evaluated:
        accuracy.legend(frameon=False, loc="lower right")
    else:
        accuracy.text(0.5, 0.5, "not evaluated", ha="center", transform=accuracy.transAxes)
    for axes in (losses, rates, accuracy):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    with replacing(path) as temporary:
        figure.savefig(temporary)


def _number(value: float) -> str:
    if float(value).is_integer() and abs(value) < 1e9:
        return str(int(value))
    return f"{value:.6g}" if math.isfinite(value) else ""
