"""Statistics of each channel of each feature map over a few images."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray

from edgessd.calibrate.calibration_set import Pixels
from edgessd.calibrate.ordered_map import ordered_map
from edgessd.calibrate.samples import network_input
from edgessd.calibrate.tensor_probe import TensorProbe
from edgessd.core.arrays import FloatArray
from edgessd.core.contract import Preprocess
from edgessd.graph.dataflow import observed_tensors
from edgessd.graph.float_graph import FloatGraph
from edgessd.graph.view import GraphView

Result = TypeVar("Result")
Values = dict[str, FloatArray]


@dataclass(frozen=True, kw_only=True, eq=False)
class ChannelStatistics:
    """Statistics of a tensor (1, C, H, W), each (C,) float64.

    Attributes:
        minimum, maximum: Extremes over all images.
        mean_minimum, mean_maximum: Means of the images' extremes.
        deviation_minimum, deviation_maximum: Standard deviations of the images' extremes.
        mean, variance: Mean and variance of all values.
    """

    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]
    mean_minimum: NDArray[np.float64]
    mean_maximum: NDArray[np.float64]
    deviation_minimum: NDArray[np.float64]
    deviation_maximum: NDArray[np.float64]
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]

    def moved(
        self, factors: NDArray[np.float64], offsets: NDArray[np.float64]
    ) -> ChannelStatistics:
        """Return the statistics of the tensor times `factors`, all positive, plus `offsets`, each (C,)."""
        return ChannelStatistics(
            minimum=self.minimum * factors + offsets,
            maximum=self.maximum * factors + offsets,
            mean_minimum=self.mean_minimum * factors + offsets,
            mean_maximum=self.mean_maximum * factors + offsets,
            deviation_minimum=self.deviation_minimum * factors,
            deviation_maximum=self.deviation_maximum * factors,
            mean=self.mean * factors + offsets,
            variance=self.variance * factors**2,
        )


def collect_channels(graph: FloatGraph, samples: Pixels) -> dict[str, ChannelStatistics]:
    """Collect the statistics of every observed feature map of a float graph, by tensor name.

    Args:
        graph: Float graph.
        samples: Pixels (n, 3, H, W) from `draw_samples`.
    """
    view = GraphView(graph.model)
    names = [
        name
        for name in observed_tensors(graph.model)
        if name not in view.inputs and len(view.shape(name)) == 4
    ]

    def summarize(values: Values) -> list[NDArray[np.float64]]:
        planes = (values[name].reshape(values[name].shape[1], -1) for name in names)
        return [_plane_statistics(plane) for plane in planes]

    numbers = list(each_image(graph.model, graph.contract.preprocess, names, samples, summarize))
    return {
        name: _statistics(np.stack([image[index] for image in numbers]))
        for index, name in enumerate(names)
    }


def each_image(
    model: onnx.ModelProto,
    preprocess: Preprocess,
    names: Sequence[str],
    samples: Pixels,
    look: Callable[[Values], Result],
) -> Iterator[Result]:
    """Yield the result of `look` for each sample, in order.

    Args:
        model: Float model.
        preprocess: Preprocessing of its input.
        names: Tensors that `look` gets.
        samples: Pixels (n, 3, H, W).
        look: Function of the tensors of one image. It may run on several threads, and its arguments are
            buffers that the next image overwrites.
    """
    probe = TensorProbe(model, names, sample=1, threads=1)
    local = threading.local()

    def work(pixels: Pixels) -> Result:
        if not hasattr(local, "reader"):
            local.reader = probe.reader()
        return look(local.reader.values(network_input(pixels, preprocess)))

    return ordered_map(work, samples)


def _plane_statistics(plane: FloatArray) -> NDArray[np.float64]:
    """Return minimum, maximum, mean and mean square (4, C) of the channels of a plane (C, positions)."""
    square = np.einsum("cp,cp->c", plane, plane) / plane.shape[1]
    return np.stack([plane.min(1), plane.max(1), plane.mean(1), square]).astype(np.float64)


def _statistics(numbers: NDArray[np.float64]) -> ChannelStatistics:
    """Combine the numbers (images, 4, C) of all images."""
    low, high, mean, square = (numbers[:, index] for index in range(4))
    return ChannelStatistics(
        minimum=low.min(0),
        maximum=high.max(0),
        mean_minimum=low.mean(0),
        mean_maximum=high.mean(0),
        deviation_minimum=low.std(0),
        deviation_maximum=high.std(0),
        mean=mean.mean(0),
        variance=np.maximum(square.mean(0) - mean.mean(0) ** 2, 0),
    )
