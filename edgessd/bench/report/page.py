"""Write the HTML report of a benchmark: one file, readable without a network."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from edgessd.bench.report import plots
from edgessd.bench.results import BenchResult
from edgessd.core.arrays import ImageArray
from edgessd.core.detections import Detections
from edgessd.core.files import write_atomically
from edgessd.pipeline.annotate import annotate

_TEMPLATES = Path(__file__).parent


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """Sample for the report: detections of a model in one image."""

    model: str
    image: ImageArray
    detections: Detections


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Content of the page.

    Attributes:
        title: Headline.
        results: Results, one entry a model, at least one.
        pictures: Samples.
        notes: Paragraphs under the headline.
    """

    title: str
    results: tuple[BenchResult, ...]
    pictures: tuple[Picture, ...] = ()
    notes: tuple[str, ...] = field(default=())


def write_report(report: Report, path: Path) -> None:
    """Render the page and write it atomically."""
    write_atomically(path, render_report(report))


def render_report(report: Report) -> str:
    """Render the page as HTML text."""
    return render_template(
        "page.html",
        title=report.title,
        notes=report.notes,
        machine=report.results[0].machine,
        results=report.results,
        stage_plot=plots.stage_bars(report.results),
        histograms=[plots.latency_histogram(result) for result in report.results],
        timelines=[plots.latency_over_time(result) for result in report.results],
        class_plots=[
            plots.class_bars(result.accuracy.metrics.per_class) if result.accuracy else None
            for result in report.results
        ],
        pictures=[
            (picture.model, picture_url(picture.image, picture.detections))
            for picture in report.pictures
        ],
    )


def render_template(name: str, **values: Any) -> str:
    """Render a template of this folder as HTML text; add the values `created` and `edgessd`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name).render(
        created=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        edgessd=version("edgessd"),
        **values,
    )


def picture_url(image: ImageArray, detections: Detections, width: int = 480) -> str:
    """Draw detections on an image; return it as a data URL of a JPEG of at most `width` pixels."""
    import cv2

    canvas = annotate(image, detections)
    if canvas.shape[1] > width:
        height = round(canvas.shape[0] * width / canvas.shape[1])
        canvas = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA).astype(
            canvas.dtype
        )
    encoded = cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, 82])[1]
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()


def sample(
    model: str, images: Sequence[ImageArray], detections: Sequence[Detections]
) -> tuple[Picture, ...]:
    """Pair images with a model's detections."""
    return tuple(
        Picture(model=model, image=image, detections=found)
        for image, found in zip(images, detections, strict=True)
    )
