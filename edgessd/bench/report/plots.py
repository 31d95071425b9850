"""Plots of the report, as SVG text for the page."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgessd.bench.results import BenchResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK = "#1f2933"
_GRID = "#e4e7eb"
# (key in the results, name for people, color)
STAGES = (
    ("prepare", "preprocess", "#7cc4fa"),
    ("infer", "infer", "#2186eb"),
    ("finish", "postprocess", "#0a3d8f"),
)
SERIES = ("#2186eb", "#e8833a", "#2f9e6e", "#8a4fbf", "#c2410c", "#0e7c86", "#b83280", "#6b7280")


def stage_bars(results: Sequence[BenchResult]) -> str:
    """Plot the mean time of each stage, one stacked bar a model."""
    figure, axes = _new(7.2, 0.75 + 0.42 * len(results))
    names = [result.model.name for result in results]
    left = np.zeros(len(names))
    for key, label, color in STAGES:
        widths = np.array([f.pipeline.stages[key].mean_ms for f in results])
        axes.barh(names, widths, left=left, color=color, label=label, height=0.6)
        left += widths
    for row, total in enumerate(left):
        axes.text(
            total + left.max() * 0.01, row, f"{total:.1f} ms", va="center", color=_INK, fontsize=9
        )
    axes.set_xlim(0, left.max() * 1.18)
    axes.invert_yaxis()
    axes.set_xlabel("mean ms a frame")
    axes.grid(axis="y", visible=False)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False)
    return _svg(figure)


def latency_histogram(result: BenchResult) -> str:
    """Plot the distribution of the engine's latency with its percentiles."""
    milliseconds = np.array(result.engine.seconds) * 1e3
    latency = result.engine.latency
    figure, axes = _new(4.6, 2.6)
    # The axis ends near p99, so that one slow outlier doesn't put all other runs into one bar.
    end = max(latency.p99_ms * 1.15, latency.p50_ms * 1.3)
    axes.hist(
        np.minimum(milliseconds, end),
        bins=np.linspace(milliseconds.min() * 0.98, end, 48).tolist(),
        color=SERIES[0],
    )
    height = axes.get_ylim()[1]
    for name, value in (("p50", latency.p50_ms), ("p95", latency.p95_ms), ("p99", latency.p99_ms)):
        axes.axvline(value, color=_INK, linewidth=0.9, linestyle=(0, (4, 3)))
        axes.text(value, height, name, ha="center", va="bottom", fontsize=8, color=_INK)
    axes.set_xlabel("engine latency, ms (slower runs in the last bar)")
    axes.set_ylabel("runs")
    return _svg(figure)


def latency_over_time(result: BenchResult) -> str:
    """Plot the latency during the run, and the temperature if the machine reports it."""
    seconds = np.cumsum(result.engine.seconds)
    figure, axes = _new(4.6, 2.6)
    axes.plot(seconds, np.array(result.engine.seconds) * 1e3, color=SERIES[0], linewidth=0.6)
    axes.set_xlabel("seconds into the run")
    axes.set_ylabel("engine latency, ms")
    axes.set_ylim(0, result.engine.latency.p99_ms * 1.6)
    points = [(r.seconds, r.celsius) for r in result.engine.readings if r.celsius is not None]
    if points:
        begin = result.engine.readings[0].seconds
        right = axes.twinx()
        right.plot([s - begin for s, _ in points], [c for _, c in points], color=SERIES[1])
        right.set_ylabel("°C", color=SERIES[1])
        right.spines[["top", "left"]].set_visible(False)
    return _svg(figure)


def class_bars(per_class: Mapping[str, Mapping[str, float | None]]) -> str:
    """Plot AP and AP50 of each class, best first."""
    known = {label: scores for label, scores in per_class.items() if scores["AP"] is not None}
    order = sorted(known, key=lambda label: known[label]["AP"] or 0.0, reverse=True)
    figure, axes = _new(4.6, 0.9 + 0.27 * max(len(order), 3))
    rows = np.arange(len(order))
    axes.barh(
        rows - 0.19,
        [known[label]["AP50"] or 0.0 for label in order],
        0.36,
        color="#b6d8f7",
        label="AP50",
    )
    axes.barh(
        rows + 0.19,
        [known[label]["AP"] or 0.0 for label in order],
        0.36,
        color=SERIES[0],
        label="AP",
    )
    axes.set_yticks(rows, order)
    axes.set_xlim(0, 1)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False)
    return _svg(figure)


def _new(width: float, height: float) -> tuple[Figure, Axes]:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    style: Any = {
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.size": 9,
        "axes.edgecolor": "#9aa5b1",
        "axes.labelcolor": _INK,
        "text.color": _INK,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "axes.grid": True,
        "grid.color": _GRID,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with plt.rc_context(style):
        return plt.subplots(figsize=(width, height), layout="constrained")


def _svg(figure: Figure) -> str:
    from matplotlib import pyplot as plt

    buffer = io.StringIO()
    # Text remains text: the page's font is used and figures can be copied.
    with plt.rc_context({"svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", transparent=True)
    plt.close(figure)
    text = buffer.getvalue()
    return text[text.index("<svg") :]
