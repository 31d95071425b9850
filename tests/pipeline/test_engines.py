"""Number of engines and threads for each kind of source."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgessd.bundle.store import Bundle
from edgessd.core.errors import BackendError
from edgessd.pipeline.engines import open_detectors
from edgessd.pipeline.pipeline import Pipeline
from edgessd.runtime.detector import Detector


@pytest.mark.parametrize(
    ("live", "threads", "engines", "expected"),
    [
        (True, 2, None, [2]),
        (False, 2, None, [1, 1]),
        (False, 1, None, [1]),
        (False, 2, 1, [2]),
        (True, 4, 2, [2, 2]),
        (False, 3, 2, [1, 1]),
        (True, 1, 2, [1, 1]),
    ],
)
def test_threads_are_shared_among_the_engines(
    tiny_bundles: dict[str, Bundle],
    live: bool,
    threads: int,
    engines: int | None,
    expected: list[int],
) -> None:
    def open_one(count: int | None) -> Detector:
        return Detector(tiny_bundles["host"].directory, threads=count)

    detectors = open_detectors(open_one, live=live, threads=threads, engines=engines)
    assert [detector.details["threads"] for detector in detectors] == expected
    for detector in detectors:
        detector.close()


def test_one_engine_keeps_the_threads_of_its_target(tiny_bundles: dict[str, Bundle]) -> None:
    counts = []

    def open_one(count: int | None) -> Detector:
        counts.append(count)
        return Detector(tiny_bundles["host"].directory, threads=count)

    for detector in open_detectors(open_one, live=True):
        detector.close()
    assert counts == [None]


def test_open_engines_are_closed_if_one_fails_to_open(tiny_bundles: dict[str, Bundle]) -> None:
    opened: list[Detector] = []

    def open_one(count: int | None) -> Detector:
        if len(opened) == 2:
            raise BackendError("no room for a third")
        opened.append(Detector(tiny_bundles["host"].directory, threads=count))
        return opened[-1]

    with pytest.raises(BackendError, match="no room"):
        open_detectors(open_one, live=False, threads=3, engines=3)
    for detector in opened:
        with pytest.raises(BackendError, match="closed"):
            detector.infer(detector.preprocess(np.zeros((9, 9, 3), np.uint8))[0])


def test_a_pipeline_opens_sources_and_bundles_from_text_and_path(
    tiny_bundles: dict[str, Bundle], photos: Path
) -> None:
    with Pipeline(str(photos), tiny_bundles["host"].directory) as pipeline:
        results = list(pipeline)
    assert [result.frame.index for result in results] == list(range(16))
    assert pipeline.status().frames == pipeline.status().streams[0].frames == 16
