"""Collect a `CalibrationTable`: run a float graph over calibration images, one after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from edgessd.calibrate.calibration_set import CalibrationSet, Pixels, evenly
from edgessd.calibrate.observers import Moments, TensorObserver
from edgessd.calibrate.ordered_map import WORKERS, ordered_map
from edgessd.calibrate.samples import KEPT, no_samples
from edgessd.calibrate.table import CalibrationTable, TensorStatistics
from edgessd.calibrate.tensor_probe import Extremes, TensorProbe
from edgessd.core.contract import Contract
from edgessd.core.errors import CalibrationError, DataError
from edgessd.core.network_tensors import image_spec
from edgessd.core.preprocess import fill_tensor
from edgessd.graph.dataflow import observed_tensors
from edgessd.graph.float_graph import FloatGraph

MINIMUM_IMAGES = 16
"""Default for the smallest number of images. With fewer, ranges depend on the choice of images."""

SAMPLE = 8192
"""Number of values of a tensor, per image, that its histogram counts."""

Progress = Callable[[int, int], None]
Outcome = tuple[str, Extremes, Pixels] | DataError
"""sha256 of the file, statistics and pixels (3, H, W) of one image, or the reason why it can't be read."""


def collect(
    graph: FloatGraph,
    images: CalibrationSet,
    *,
    minimum: int = MINIMUM_IMAGES,
    sample: int = SAMPLE,
    workers: int = WORKERS,
    progress: Progress | None = None,
) -> CalibrationTable:
    """Collect the statistics of every tensor that will be quantized.

    Memory doesn't grow with the number of images, and the table doesn't depend on `workers` or the order of
    the images. The table's `skipped` lists images that can't be read, with the reason.

    Args:
        graph: Float graph.
        images: Calibration images, which the contract's preprocessing turns into inputs.
        minimum: Smallest number of readable images that is accepted.
        sample: Number of values of a tensor, per image, that its histogram counts.
        workers: Number of images at the same time, each with about 60 MB of buffers at 300x300.
        progress: Function called with (done, total) after each image.

    Raises:
        CalibrationError: There are too few images, or a value isn't finite.
    """
    refuse_few(len(images), minimum, "images")
    sampled = set(evenly(images.paths, KEPT))
    samples: list[Pixels] = []
    tensors = observed_tensors(graph.model)
    probe = TensorProbe(graph.model, tensors, sample=sample, threads=1)
    observers = [TensorObserver() for _ in tensors]
    halves = [(Moments(), Moments()) for _ in tensors]
    hashes: list[str] = []
    skipped: dict[str, str] = {}
    for done, (path, outcome) in enumerate(_observed(probe, images, graph.contract, workers), 1):
        if isinstance(outcome, DataError):
            skipped[str(path)] = str(outcome)
        else:
            digest, extremes, pixels = outcome
            if path in sampled:
                samples.append(pixels)
            _refuse_non_finite(path, tensors, extremes)
            for observer, low, high, values in zip(
                observers, extremes.minima, extremes.maxima, extremes.samples, strict=True
            ):
                observer.add(float(low), float(high), values)
            if len(hashes) % 2 == 0:
                for (minima, maxima), low, high in zip(
                    halves, extremes.minima, extremes.maxima, strict=True
                ):
                    minima.add(float(low))
                    maxima.add(float(high))
            hashes.append(digest)
        if progress is not None:
            progress(done, len(images))
    refuse_few(len(hashes), minimum, "readable images", skipped)
    return CalibrationTable(
        tensors={
            name: TensorStatistics.of(observer)
            for name, observer in zip(tensors, observers, strict=True)
        },
        images=tuple(sorted(hashes)),
        halves={
            name: (minima.mean, maxima.mean)
            for name, (minima, maxima) in zip(tensors, halves, strict=True)
        },
        skipped=skipped,
        graph_sha256=graph.sha256,
        samples=np.stack(samples) if samples else no_samples(graph.contract.preprocess),
    )


def _observed(
    probe: TensorProbe, images: CalibrationSet, contract: Contract, workers: int
) -> Iterator[tuple[Path, Outcome]]:
    """Yield each image's outcome in order, computing a few images ahead."""
    spec = image_spec(contract.preprocess)
    local = threading.local()

    def work(path: Path) -> Outcome:
        try:
            pixels = images.network_pixels(path, contract.preprocess)
        except DataError as error:
            return error
        if not hasattr(local, "reader"):
            local.reader = probe.reader()
        tensor = np.asarray(fill_tensor(pixels, contract.preprocess, spec), np.float32)
        return images.sha256(path), local.reader.read(tensor), pixels.transpose(2, 0, 1)

    yield from zip(images.paths, ordered_map(work, images.paths, workers=workers), strict=True)


def refuse_few(count: int, minimum: int, what: str, skipped: dict[str, str] | None = None) -> None:
    """Raise `CalibrationError` if there are fewer images than `minimum`, with the reason why it matters."""
    if count >= max(minimum, 1):
        return
    found = f"{count} {what}"
    if skipped:
        path, reason = next(iter(skipped.items()))
        found += f"; {len(skipped)} can't be read, the first of them {path}: {reason}"
    raise CalibrationError(
        "There are too few calibration images: activation ranges taken from so few fit those "
        "images only, and int8 accuracy collapses on others",
        expected=f"at least {max(minimum, 1)} images, better 100, like those the camera will see",
        found=found,
        fix=(
            "Add unlabeled images to the folder."
            if count == 0
            else "Add unlabeled images to the folder, or pass --force-small (in a recipe: "
            "minimum_images) if you know that these few cover everything."
        ),
    )


def _refuse_non_finite(path: Path, names: Sequence[str], extremes: Extremes) -> None:
    broken = np.flatnonzero(~(np.isfinite(extremes.minima) & np.isfinite(extremes.maxima)))
    if len(broken):
        raise CalibrationError(
            f"The float graph itself computes values that aren't finite on {path}",
            found=f"{len(broken)} tensors, first of all {names[broken[0]]!r}",
            fix="The checkpoint is damaged or diverged in training; use another one.",
        )
