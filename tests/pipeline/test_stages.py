"""Overlapping stages: frames stay in order, detections stay equal, errors and the end are passed on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgessd.bundle.store import Bundle
from edgessd.core.arrays import ImageArray
from edgessd.core.errors import BackendError, SourceError
from edgessd.pipeline.frames import Frame
from edgessd.pipeline.pipeline import Pipeline
from edgessd.pipeline.result import Result
from edgessd.runtime.backend import Overlapping, Tensor
from edgessd.runtime.detector import Detector

pytestmark = pytest.mark.realtime


class PhotoSource:
    """Gives decoded pictures as frames, with an optional pause between them and an optional last error."""

    length = None

    def __init__(
        self,
        images: list[ImageArray],
        *,
        live: bool = False,
        period: float = 0.0,
        fails: bool = False,
    ) -> None:
        self.name = "photos"
        self.live = live
        self.fps = 1 / period if period else None
        self.skipped: list[tuple[str, str]] = []
        self._images, self._period, self._fails = images, period, fails

    def __iter__(self) -> Iterator[Frame]:
        for index, image in enumerate(self._images):
            time.sleep(self._period)
            yield Frame(
                image=image,
                source=self.name,
                index=index,
                timestamp=0.0,
                captured_at=time.perf_counter(),
            )
        if self._fails:
            raise SourceError("the cable moved")

    def close(self) -> None:
        self._images = []


class QueuedEngine:
    """Runs a real engine on a thread of its own, as an accelerator with a queue does."""

    in_flight = 2

    def __init__(self, engine: Any) -> None:
        self.name, self.details = engine.name, engine.details
        self.input, self.outputs, self.metadata = engine.input, engine.outputs, engine.metadata
        self.most_in_flight = 0
        self._engine = engine
        self._thread = ThreadPoolExecutor(1)
        self._runs: list[Future[dict[str, Tensor]]] = []

    def submit(self, tensor: Tensor) -> None:
        owned = tensor.copy()
        time.sleep(0.005)  # a transfer to the device, during which the next frame is preprocessed
        self._runs.append(self._thread.submit(self._run, owned))
        self.most_in_flight = max(self.most_in_flight, len(self._runs))

    def _run(self, tensor: Tensor) -> dict[str, Tensor]:
        return {name: output.copy() for name, output in self._engine.infer(tensor).items()}

    def collect(self) -> dict[str, Tensor]:
        return self._runs.pop(0).result()

    def infer(self, tensor: Tensor) -> dict[str, Tensor]:
        self.submit(tensor)
        return self.collect()

    def close(self) -> None:
        self._thread.shutdown()
        self._engine.close()


@pytest.fixture
def pictures(photos: Path) -> list[ImageArray]:
    return [cv2.imread(str(path)) for path in sorted(photos.glob("*.png"))] * 3


@pytest.fixture
def detector(tiny_bundles: dict[str, Bundle]) -> Iterator[Detector]:
    with Detector(tiny_bundles["host"].directory, threads=1) as opened:
        opened.score_threshold = 0.02  # an untrained detector has hardly a higher score
        yield opened


def count_calls(detector: Detector) -> list[float]:
    """Record the times at which the engine runs from now on."""
    calls: list[float] = []
    infer = detector.backend.infer

    def counted(tensor: Tensor) -> dict[str, Tensor]:
        calls.append(time.perf_counter())
        return infer(tensor)

    detector.backend.infer = counted  # type: ignore[method-assign]
    return calls


def run(source: PhotoSource, detector: Detector) -> list[Result]:
    with Pipeline(source, detector) as pipeline:
        return list(pipeline)


def require_same(results: list[Result], pictures: list[ImageArray], detector: Detector) -> None:
    assert [result.frame.index for result in results] == list(range(len(pictures)))
    expected = [detector(picture) for picture in pictures]
    assert sum(map(len, expected)) > len(pictures)
    for result, found in zip(results, expected, strict=True):
        np.testing.assert_array_equal(result.detections.boxes, found.boxes)
        np.testing.assert_array_equal(result.detections.scores, found.scores)


def test_a_file_gives_the_detections_of_each_frame_in_order(
    pictures: list[ImageArray], detector: Detector
) -> None:
    require_same(run(PhotoSource(pictures), detector), pictures, detector)


def test_several_engines_share_the_frames_and_keep_their_order(
    pictures: list[ImageArray], tiny_bundles: dict[str, Bundle], detector: Detector
) -> None:
    with Detector(tiny_bundles["host"].directory, threads=1) as second:
        second.score_threshold = detector.score_threshold
        calls = [count_calls(detector), count_calls(second)]
        with Pipeline(PhotoSource(pictures), [detector, second]) as pipeline:
            results = list(pipeline)
    assert len(calls[0]) + len(calls[1]) == len(pictures)
    assert min(map(len, calls)) > len(pictures) // 5
    require_same(results, pictures, detector)


@pytest.mark.parametrize("live", [False, True])
def test_an_error_of_one_of_two_engines_ends_the_pipeline(
    pictures: list[ImageArray], tiny_bundles: dict[str, Bundle], detector: Detector, live: bool
) -> None:
    second = Detector(tiny_bundles["host"].directory, threads=1)
    second.close()
    source = PhotoSource(pictures * 5, live=live, period=0.002)
    with (
        pytest.raises(BackendError, match="closed"),
        Pipeline(source, [detector, second]) as pipeline,
    ):
        list(pipeline)


def test_an_error_of_the_source_comes_after_the_frames_of_every_engine(
    pictures: list[ImageArray], tiny_bundles: dict[str, Bundle], detector: Detector
) -> None:
    source = PhotoSource(pictures[:9], fails=True)
    with (
        Detector(tiny_bundles["host"].directory, threads=1) as second,
        Pipeline(source, [detector, second]) as pipeline,
    ):
        results = iter(pipeline)
        assert [next(results).frame.index for _ in range(9)] == list(range(9))
        with pytest.raises(SourceError, match="the cable moved"):
            next(results)


def test_an_overlapping_engine_gets_a_frame_while_it_runs_another(
    pictures: list[ImageArray], detector: Detector
) -> None:
    engine = QueuedEngine(detector.backend)
    assert isinstance(engine, Overlapping)
    assert not isinstance(detector.backend, Overlapping)
    detector.model = replace(detector.model, backend=engine)
    require_same(run(PhotoSource(pictures), detector), pictures, detector)
    assert engine.most_in_flight == 2


def test_a_live_frame_does_not_wait_for_the_next(
    pictures: list[ImageArray], detector: Detector
) -> None:
    period = 0.15
    with Pipeline(PhotoSource(pictures[:6], live=True, period=period), detector) as pipeline:
        ages = [time.perf_counter() - result.frame.captured_at for result in pipeline]
    assert len(ages) == 6
    assert max(ages[1:]) < period


def test_an_error_of_the_source_comes_after_its_frames(
    pictures: list[ImageArray], detector: Detector
) -> None:
    with Pipeline(PhotoSource(pictures[:5], fails=True), detector) as pipeline:
        results = iter(pipeline)
        assert [next(results).frame.index for _ in range(5)] == [0, 1, 2, 3, 4]
        with pytest.raises(SourceError, match="the cable moved"):
            next(results)


def test_an_error_of_the_engine_reaches_the_caller(
    pictures: list[ImageArray], detector: Detector
) -> None:
    detector.backend.close()
    with Pipeline(PhotoSource(pictures), detector) as pipeline:
        results = iter(pipeline)
        with pytest.raises(BackendError, match="closed"):
            next(results)


@pytest.mark.parametrize("live", [False, True])
def test_leaving_early_ends_every_thread(
    pictures: list[ImageArray], detector: Detector, live: bool
) -> None:
    before = set(threading.enumerate())
    with Pipeline(PhotoSource(pictures * 20, live=live, period=0.001), detector) as pipeline:
        next(iter(pipeline))
        assert set(threading.enumerate()) - before
    assert not set(threading.enumerate()) - before


def test_stop_ends_after_the_present_frame(pictures: list[ImageArray], detector: Detector) -> None:
    seen = 0
    with Pipeline(PhotoSource(pictures * 20), detector) as pipeline:
        for _ in pipeline:
            seen += 1
            if seen == 3:
                pipeline.stop()
    assert seen == 3
