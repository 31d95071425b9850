"""Endurance: memory must not grow with the number of frames.

$EDGESSD_SOAK_FRAMES sets the number of frames. The README's claim is for 100,000.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import psutil
import pytest

from edgessd.bench.frames import LoopSource
from edgessd.pipeline.pipeline import Pipeline
from edgessd.pipeline.sinks.csv_rows import CsvSink
from edgessd.pipeline.sinks.json_lines import JsonLinesSink
from edgessd.pipeline.tracking import Tracking
from edgessd.quantize.recipe import Recipe
from edgessd.runtime.detector import Detector

FRAMES = int(os.environ.get("EDGESSD_SOAK_FRAMES", "30000"))
WARM_UP = 10_000
ALLOWED_BYTES = 20e6
THRESHOLD = 0.5


@pytest.fixture
def detectors(photos: Path, cheap_recipe: Recipe, tmp_path: Path) -> Iterator[list[Detector]]:
    """Two engines of the smallest detector, which leave the processor to what surrounds them."""
    import torch

    from edgessd.build.build_bundle import BuildRequest, build_bundle
    from edgessd.build.calibration_images import images_in
    from edgessd.model.checkpoint import checkpoint_of, save_checkpoint
    from edgessd.model.new_detector import new_detector
    from edgessd.model.ssdlite import build_model
    from edgessd.target.load import load_target

    torch.manual_seed(7)
    config, contract = new_detector(("cat",), width=0.1, input_size=(64, 64))
    checkpoint = tmp_path / "smallest.pt"
    save_checkpoint(checkpoint, checkpoint_of(build_model(config, contract), {"data": "none"}))
    bundle = build_bundle(
        BuildRequest(
            target=load_target("host"),
            checkpoint=checkpoint,
            name="smallest",
            out=tmp_path / "smallest",
            recipe=cheap_recipe,
            images=lambda: images_in(photos, limit=16),
            gate=False,
        )
    ).bundle
    opened = [Detector(bundle.directory, threads=1) for _ in range(2)]
    opened[0].score_threshold = THRESHOLD
    yield opened
    for detector in opened:
        detector.close()


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_memory_stays_constant_over_many_frames(
    detectors: list[Detector], photos: Path, tmp_path: Path
) -> None:
    images = [cv2.imread(str(path)) for path in sorted(photos.glob("*.png"))]
    source = LoopSource(images, frames=FRAMES, name="photos")
    sinks = [JsonLinesSink(os.devnull), CsvSink(os.devnull)]
    process = psutil.Process()
    found = warm = 0
    with Pipeline(source, detectors, sinks, tracking=Tracking) as pipeline:
        for result in pipeline:
            found += len(result.detections)
            if pipeline.meter.frames == WARM_UP:
                warm = process.memory_info().rss
            if pipeline.meter.frames % 1000 == 0:
                assert pipeline.status().frames == pipeline.meter.frames
        grown = process.memory_info().rss - warm
    assert pipeline.meter.frames == FRAMES
    assert found > FRAMES
    assert [sink.written for sink in pipeline.status().sinks] == [FRAMES, FRAMES]
    assert grown < ALLOWED_BYTES, f"{grown / 1e6:.1f} MB more than after {WARM_UP} frames"
