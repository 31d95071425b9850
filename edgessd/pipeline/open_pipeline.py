"""Open the sources, the model and the tracking that options name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edgessd.pipeline.engines import open_detectors
from edgessd.pipeline.options.run import RunOptions
from edgessd.pipeline.options.source import SourceOptions
from edgessd.pipeline.pipeline import Pipeline
from edgessd.pipeline.regions import Regions, read_regions

if TYPE_CHECKING:
    from edgessd.pipeline.sources.source import Source
    from edgessd.pipeline.tracking import Tracking
    from edgessd.runtime.detector import Detector


@contextmanager
def open_pipeline(options: RunOptions) -> Iterator[Pipeline]:
    """Open a pipeline without its outputs, and close everything at the end.

    Each source gets its own regions, tracking, threshold and classes. Nothing is read before the iteration.

    Raises:
        SourceError: A source can't be opened.
        BundleError, BackendError: The model can't be opened.
        ConfigError: A regions file can't be used, or the model doesn't know a label.

    Example:
        >>> from edgessd.pipeline.options.file import read_options
        >>> with open_pipeline(read_options(Path("cameras.toml"))) as pipeline:  # doctest: +SKIP
        ...     for result in pipeline:
        ...         print(result.frame.source, len(result.detections))
    """
    regions = {
        source.regions: read_regions(source.regions)
        for source in options.source
        if source.regions is not None
    }
    with ExitStack() as closing:
        sources = [_open_source(source, closing) for source in options.source]
        detectors = _open_detectors(
            options, live=any(source.live for source in sources), closing=closing
        )
        for each in regions.values():
            each.require_labels(detectors[0].labels)
        tracking = [_tracking(source, regions) for source in options.source]
        pipeline = closing.enter_context(Pipeline(sources, detectors, tracking=tracking))
        for number, source in enumerate(options.source):
            pipeline.controls.set_stream(
                number, score_threshold=source.threshold, classes=source.classes
            )
        yield pipeline


def _open_source(options: SourceOptions, closing: ExitStack) -> Source:
    from edgessd.pipeline.sources.catalog import open_source

    source = open_source(options)
    closing.callback(source.close)
    return source


def _open_detectors(options: RunOptions, *, live: bool, closing: ExitStack) -> tuple[Detector, ...]:
    from edgessd.runtime.detector import Detector
    from edgessd.runtime.starter import default_bundle

    model = options.model
    path = model.path or default_bundle(Path.cwd())
    detectors = open_detectors(
        lambda threads: Detector(path, backend=model.backend, threads=threads, labels=model.labels),
        live=live,
        threads=model.threads,
        engines=model.engines,
    )
    for detector in detectors:
        closing.callback(detector.close)
    return detectors


def _tracking(options: SourceOptions, regions: dict[Path, Regions]) -> Tracking | None:
    if not options.tracking:
        return None
    from edgessd.pipeline.tracking import Tracking

    return Tracking(None if options.regions is None else regions[options.regions])
