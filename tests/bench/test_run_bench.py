"""Measurement of one model: engine, pipeline, memory."""

from __future__ import annotations

import pytest

from edgessd.bench.frames import pattern_image
from edgessd.bench.run_bench import measure
from edgessd.runtime.detector import Detector
from edgessd.runtime.starter import starter_bundle

pytestmark = pytest.mark.slow


@pytest.mark.realtime
def test_engine_and_pipeline_are_measured_with_the_given_threads() -> None:
    asked: list[int | None] = []

    def open_detector(threads: int | None) -> Detector:
        asked.append(threads)
        return Detector(starter_bundle(), threads=threads)

    result, detector = measure(
        open_detector,
        path=starter_bundle(),
        images=[pattern_image(160, 120)],
        images_name="a pattern",
        seconds=0.2,
        threads=1,
    )
    with detector:
        assert detector.target == result.model.target
    assert set(asked) == {1}
    assert result.model.name == detector.name
    assert result.model.file_bytes == detector.model.engine_path.stat().st_size
    assert result.pipeline.frames >= 50
    assert result.pipeline.source == "a pattern"
    ratio = result.pipeline.fps / result.engine.fps
    assert 0.2 * ratio < result.pipeline.of_engine < 5 * ratio
    assert result.peak_rss_mb >= result.rss_before_mb > 1
