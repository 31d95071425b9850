"""Run a float graph over calibration images and gather a `CalibrationTable`, one image at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgessd.calibrate.observers import TensorObserver
from edgessd.calibrate.probe import MAXIMA, MINIMA, SAMPLES, make_probe
from edgessd.calibrate.table import CalibrationTable, TensorStatistics
from edgessd.core.contract import Contract
from edgessd.core.errors import CalibrationError, DataError
from edgessd.core.files import sha256_of
from edgessd.core.preprocess import prepare_image
from edgessd.core.tensors import TensorSpec
from edgessd.core.images import read_image
from edgessd.graph.dataflow import observed_tensors
from edgessd.graph.float_graph import INPUT, FloatGraph
from edgessd.graph.verify import make_session

MINIMUM_IMAGES = 16
"""Below this, ranges depend on which images happened to be picked."""

SAMPLE = 8192
"""Values of a tensor that enter its histogram, per image."""

Progress = Callable[[int, int], None]
Prepared = tuple[Path, str, NDArray[np.float32]]


def collect(
    graph: FloatGraph,
    images: Iterable[Path],
    *,
    minimum: int = MINIMUM_IMAGES,
    sample: int = SAMPLE,
    progress: Progress | None = None,
) -> CalibrationTable:
    """Statistics of every tensor that will be quantized.

    Memory doesn't grow with the number of images. Images that can't be read are left out, and listed
    with their reason in the table's `skipped`.

    Args:
        graph: From `export_float_graph`.
        images: Files; their pixels go through the contract's own preprocessing.
        minimum: Fewer readable images than this are refused.
        sample: Values of a tensor that enter its histogram, per image.
        progress: Called with (done, total) after each image.

    Raises:
        CalibrationError: There are too few images, or a value isn't finite.
    """
    paths = sorted(set(images))
    _refuse_few(len(paths), minimum, "images")
    probe = make_probe(graph.model, observed_tensors(graph.model), sample=sample)
    session = make_session(probe.model)
    observers = [TensorObserver() for _ in probe.tensors]
    hashes: list[str] = []
    skipped: dict[str, str] = {}
    for done, item in enumerate(_prepared(paths, graph.contract), start=1):
        if isinstance(item, DataError):
            skipped[str(paths[done - 1])] = str(item)
        else:
            path, digest, tensor = item
            minima, maxima, samples = session.run([MINIMA, MAXIMA, SAMPLES], {INPUT: tensor})
            _refuse_non_finite(path, probe.tensors, minima, maxima)
            parts = np.split(samples, probe.splits)
            for observer, low, high, part in zip(observers, minima, maxima, parts, strict=True):
                observer.add(float(low), float(high), part)
            hashes.append(digest)
        if progress is not None:
            progress(done, len(paths))
    _refuse_few(len(hashes), minimum, "readable images", skipped)
    return CalibrationTable(
        tensors={
            name: TensorStatistics.of(observer)
            for name, observer in zip(probe.tensors, observers, strict=True)
        },
        images=tuple(sorted(hashes)),
        skipped=skipped,
        graph_sha256=graph.sha256,
    )


def _prepared(paths: Sequence[Path], contract: Contract) -> Iterator[Prepared | DataError]:
    """Each image as (path, sha256, input tensor), or why it can't be read; one is made ahead."""
    spec = TensorSpec(
        name=INPUT,
        shape=(1, 3, contract.preprocess.height, contract.preprocess.width),
        dtype="float32",
        layout="NCHW",
    )

    def prepare(path: Path) -> Prepared | DataError:
        try:
            tensor, _ = prepare_image(read_image(path), contract.preprocess, spec)
        except DataError as error:
            return error
        return path, sha256_of(path), tensor.astype(np.float32, copy=False)

    with ThreadPoolExecutor(1) as pool:
        ahead = None
        for path in paths:
            current, ahead = ahead, pool.submit(prepare, path)
            if current is not None:
                yield current.result()
        if ahead is not None:
            yield ahead.result()


def _refuse_few(
    count: int, minimum: int, what: str, skipped: dict[str, str] | None = None
) -> None:
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
            "Add unlabelled images to the folder."
            if count == 0
            else "Add unlabelled images to the folder, or lower the recipe's minimum_images if you "
            "know that these few cover everything."
        ),
    )


def _refuse_non_finite(
    path: Path, names: Sequence[str], minima: NDArray[np.float32], maxima: NDArray[np.float32]
) -> None:
    broken = np.flatnonzero(~(np.isfinite(minima) & np.isfinite(maxima)))
    if len(broken):
        raise CalibrationError(
            f"The float graph itself computes values that aren't finite on {path}",
            found=f"{len(broken)} tensors, first of all {names[broken[0]]!r}",
            fix="The checkpoint is damaged or diverged in training; use another one.",
        )
