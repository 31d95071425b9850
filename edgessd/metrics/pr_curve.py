"""Precision-recall curves at IoU 0.5, one line a class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgessd.core.files import replacing
from edgessd.metrics.matching import ClassMatches
from edgessd.metrics.voc import voc10_ap

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Twelve hues that differ in lightness too; beyond them the line style tells classes apart.
_COLORS = (
    *("#1f6fb2", "#e07b39", "#2f9e6e", "#c0392b", "#7d4fb0", "#8c6239"),
    *("#d46aa0", "#4d5761", "#a3a62b", "#22a7b8", "#1b3a6b", "#f0b429"),
)
_STYLES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
_LINES_A_COLUMN = 28


def plot_pr_curves(matches: Sequence[ClassMatches], path: Path) -> None:
    """Write a PNG with the curve of each class that has ground truth, best AP first in the legend.

    Args:
        matches: Of all classes, from `match_detections`.
        path: To write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = sorted(
        (item for item in matches if item.boxes), key=lambda item: voc10_ap(item), reverse=True
    )
    columns = -(-len(shown) // _LINES_A_COLUMN)
    figure = Figure(figsize=(6.6 + 2.4 * columns, 5.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for index, item in enumerate(shown):
        _draw(axes, item, index, bold=len(shown) <= 4)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("recall")
    axes.set_ylabel("precision")
    axes.set_title("Precision and recall at IoU ≥ 0.5", loc="left", fontsize=11)
    axes.set_aspect("equal", adjustable="box")
    axes.grid(color="#e4e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    mean = np.mean([voc10_ap(item) for item in shown]) if shown else 0.0
    figure.legend(
        loc="outside right upper",
        ncols=max(columns, 1),
        frameon=False,
        fontsize=8.5,
        title=f"AP50, area under the curve\nmean {mean:.3f}",
        title_fontsize=8.5,
        alignment="left",
        handlelength=2.4,
    )
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=130)


def _draw(axes: Axes, item: ClassMatches, index: int, *, bold: bool) -> None:
    recall, precision = item.recall_precision()
    # The curve is drawn as AP reads it, monotonic from the right, from the first hit's precision on.
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    last = recall[-1] if len(recall) else 0.0
    axes.plot(
        [0.0, *recall, last],
        [envelope[0] if len(envelope) else 0.0, *envelope, 0.0],
        color=_COLORS[index % len(_COLORS)],
        linestyle=_STYLES[index // len(_COLORS) % len(_STYLES)],
        linewidth=2.0 if bold else 1.4,
        label=f"{item.label}  {voc10_ap(item):.3f}  ({item.boxes})",
        drawstyle="steps-pre",
        clip_on=False,
    )
