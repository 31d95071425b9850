"""Write the HTML report of a comparison: numbers, classes, layers, and the images that differ most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgessd.bench.comparison import Comparison, DivergentImage
from edgessd.bench.report.page import picture_url, render_template
from edgessd.core.detections import Detections
from edgessd.core.files import write_atomically
from edgessd.core.images import read_image
from edgessd.metrics.parity import REFERENCE_SCORE

# A little below the threshold, so that a box that just crossed it is drawn on both sides.
_SHOWN_OVER = REFERENCE_SCORE - 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerColumn:
    """Signal-to-noise ratios of one model's tensors against the reference's.

    Attributes:
        decibels: Tensor → signal-to-noise ratio, in the order of the computation.
        first: First tensor below `below_db`; None if there is none.
        images: Number of images that were measured.
        below_db: Limit in decibels, see `build.layer_comparison`.
    """

    decibels: dict[str, float]
    first: str | None
    images: int
    below_db: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparisonReport:
    """Content of the page.

    Attributes:
        comparison: All numbers.
        layers: Ratios by model, for models whose inner tensors can be read.
        notes: Paragraphs under the headline.
    """

    comparison: Comparison
    layers: Mapping[str, LayerColumn] = field(default_factory=dict)
    notes: Sequence[str] = ()


def write_comparison(report: ComparisonReport, path: Path) -> None:
    """Render the page, with the worst images read again from their files, and write it atomically.

    Raises:
        DataError: One of these images can't be read.
    """
    comparison = report.comparison
    tensors = dict.fromkeys(name for column in report.layers.values() for name in column.decibels)
    some = next(iter(report.layers.values()), None)
    page = render_template(
        "comparison.html",
        title=f"Compared with {comparison.reference}",
        comparison=comparison,
        notes=report.notes,
        labels=sorted(
            {label for item in comparison.artifacts.values() for label in item.agreement_per_class}
            | {label for item in comparison.artifacts.values() for label in item.class_drift or ()}
        ),
        layers=[
            (name, [column.decibels.get(name) for column in report.layers.values()])
            for name in tensors
        ],
        layer_names=list(report.layers),
        layer_images=some.images if some else 0,
        below_db=some.below_db if some else 0,
        firsts={name: column.first for name, column in report.layers.items()},
        worst={
            name: [_pictures(image) for image in parity.worst]
            for name, parity in comparison.artifacts.items()
        },
        number=_number,
        signed=_signed,
        shade=shade,
        heat=heat,
    )
    write_atomically(path, page)


def heat(decibels: float | None) -> str:
    """Return the color of a cell: white from 40 dB, red at 10."""
    if decibels is None:
        return "transparent"
    return _red(min(max((40 - decibels) / 30, 0), 1))


def shade(value: float | None, full: float) -> str:
    """Return the color of a cell for a value that should be 0: red at `full` and beyond."""
    if value is None:
        return "transparent"
    return _red(min(abs(value) / full, 1))


def _red(strength: float) -> str:
    return f"rgba(220, 60, 40, {0.65 * strength:.2f})"


def _pictures(image: DivergentImage) -> dict[str, object]:
    pixels = read_image(image.path)
    return {
        "file": image.path.name,
        "disagreement": image.disagreement,
        "reference": picture_url(pixels, _shown(image.reference)),
        "found": picture_url(pixels, _shown(image.found)),
    }


def _shown(detections: Detections) -> Detections:
    return detections[detections.scores > _SHOWN_OVER]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.4f}"
