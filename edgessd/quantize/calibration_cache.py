"""Rewritten graphs and calibration tables of earlier builds, kept in a folder and used again.

Both depend on the graph and on the images' contents alone, so a second target or scheme calibrates nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from edgessd.calibrate.calibration_set import CalibrationSet
from edgessd.calibrate.collect import collect
from edgessd.calibrate.samples import draw_samples
from edgessd.calibrate.table import CalibrationTable
from edgessd.core.errors import CalibrationError, GraphError
from edgessd.graph.float_graph import FloatGraph, load_graph, save_graph
from edgessd.quantize.float_passes.apply import (
    QuantizableGraph,
    apply_float_passes,
    as_quantizable,
)
from edgessd.quantize.recipe import FloatPasses


def quantizable_graph(
    graph: FloatGraph, images: CalibrationSet, wanted: FloatPasses, *, cache: Path | None
) -> QuantizableGraph:
    """Apply the float passes to a graph, or read the outcome of an earlier time from the cache.

    Args:
        graph: Float graph.
        images: Calibration images; the passes observe a few of them.
        wanted: Switches of the recipe.
        cache: Folder of graphs and tables; None keeps none.

    Raises:
        CalibrationError: A pass needs images and none can be read.
    """
    if wanted == FloatPasses():
        return as_quantizable(graph)
    if cache is None:
        return apply_float_passes(graph, draw_samples(images, graph.contract), wanted)
    key = hashlib.sha256(f"{_key(graph, images)} {graph.contract} {wanted}".encode())
    path = cache / f"{key.hexdigest()[:32]}.onnx"
    if path.is_file():
        try:
            return as_quantizable(load_graph(path))
        except GraphError:
            path.unlink()  # damaged or of another version; it can be made again
    found = apply_float_passes(graph, draw_samples(images, graph.contract), wanted)
    save_graph(found.source, path)
    return found


def calibration_table(
    graph: FloatGraph,
    images: CalibrationSet,
    *,
    minimum: int,
    cache: Path | None,
    progress: Callable[[int, int], None] | None = None,
) -> CalibrationTable:
    """Collect a graph's table over images, or read the one of an earlier time from the cache.

    Args:
        graph: Float graph.
        images: Calibration images.
        minimum: Smallest number of readable images that is accepted.
        cache: Folder of graphs and tables; None keeps none.
        progress: Function called with (done, total) after each image.

    Raises:
        CalibrationError: There are too few images, or a value isn't finite.
    """
    if cache is None:
        return collect(graph, images, minimum=minimum, progress=progress)
    path = cache / f"{_key(graph, images)}.npz"
    table = _read_table(path)
    if table is None or len(table.images) < minimum:
        table = collect(graph, images, minimum=minimum, progress=progress)
        table.save(path)
    return table


def _read_table(path: Path) -> CalibrationTable | None:
    if not path.is_file():
        return None
    try:
        return CalibrationTable.load(path)
    except CalibrationError:
        path.unlink()  # damaged or of another version; it can be made again
        return None


def _key(graph: FloatGraph, images: CalibrationSet) -> str:
    digest = hashlib.sha256(graph.sha256.encode())
    # The graph alone doesn't say how images become its input.
    digest.update(repr(graph.contract.preprocess).encode())
    for image in sorted(images.sha256(path) for path in images.paths):
        digest.update(image.encode())
    return digest.hexdigest()[:32]
