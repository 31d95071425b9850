"""Plot precision-recall curves at IoU 0.5, one line a class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgessd.core.files import replacing
from edgessd.metrics.matching import ClassMatches
from edgessd.metrics.voc import voc10_ap

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Twelve hues that also differ in lightness; more classes differ by the line style.
_COLORS = (
    *("#1f6fb2", "#e07b39", "#2f9e6e", "#c0392b", "#7d4fb0", "#8c6239"),
    *("#d46aa0", "#4d5761", "#a3a62b", "#22a7b8", "#1b3a6b", "#f0b429"),
)
_STYLES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
_LINES_A_COLUMN = 28


def plot_pr_curves(matches: Sequence[ClassMatches], path: Path) -> None:
    """Write a PNG with the curve of each class that has ground truth, best AP first in the legend.

    Args:
        matches: Matches of all classes, from `match_detections`.
        path: File to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = sorted(
        (item for item in matches if item.boxes), key=lambda item: voc10_ap(item), reverse=True
    )
    columns = -(-len(shown) // _LINES_A_COLUMN)
    figure = Figure(figsize=(5.6 + 2.3 * columns, 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    many, crowded = len(shown) > 4, len(shown) > 24
    for index, item in enumerate(shown):
        _draw(axes, item, index, width=1.1 if many else 2.0, alpha=0.45 if crowded else 1.0)
    if many:  # one line stands out among many that cross
        axes.plot(*mean_curve(shown), color="#1f2933", linewidth=3.2, label="mean of the classes")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("recall")
    axes.set_ylabel("precision")
    axes.set_title("Precision and recall at IoU ≥ 0.5", loc="left", fontsize=11)
    axes.set_aspect("equal", adjustable="box")
    axes.grid(color="#e4e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if shown:
        mean = np.mean([voc10_ap(item) for item in shown])
        figure.legend(
            loc="outside right upper",
            ncols=columns,
            frameon=False,
            fontsize=8.5,
            title=f"AP50, area under the curve\nmean {mean:.3f}",
            title_fontsize=8.5,
            alignment="left",
            handlelength=2.4,
        )
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=130)


def _draw(axes: Axes, item: ClassMatches, index: int, *, width: float, alpha: float) -> None:
    recall, envelope = _envelope(item)
    last = recall[-1] if len(recall) else 0.0
    axes.plot(
        [0.0, *recall, last],
        [envelope[0] if len(envelope) else 0.0, *envelope, 0.0],
        color=_COLORS[index % len(_COLORS)],
        linestyle=_STYLES[index // len(_COLORS) % len(_STYLES)],
        linewidth=width,
        alpha=alpha,
        label=f"{item.label}  {voc10_ap(item):.3f}  ({item.boxes})",
        drawstyle="steps-pre",
        clip_on=False,
    )


def mean_curve(
    shown: Sequence[ClassMatches], points: int = 501
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the classes' mean precision at evenly spaced recalls; beyond a class's recall it is 0."""
    recall = np.linspace(0, 1, points)
    mean = np.zeros_like(recall)
    for item in shown:
        reached, envelope = _envelope(item)
        index = np.searchsorted(reached, recall - 1e-9)
        mean += np.append(envelope, 0.0)[index] / len(shown)
    return recall, mean


def _envelope(item: ClassMatches) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute recall and precision as AP uses them: precision monotonic from the right."""
    recall, precision = item.recall_precision()
    return recall, np.maximum.accumulate(precision[::-1])[::-1]
