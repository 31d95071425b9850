"""`TensorProbe`: read a float graph's inner tensors while it runs.

The tensors are written into buffers that are made once: fetching 50 MB of new arrays for each image would
take longer than the statistics. Computing the statistics inside the graph takes twice as long as scanning
these buffers (measured on a 300x300 MobileNetV2), because it breaks up the fused, blocked memory layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from edgessd.core.arrays import FloatArray
from edgessd.core.network_tensors import INPUT
from edgessd.graph.verify import make_session
from edgessd.graph.view import GraphView, copy_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Extremes:
    """Extremes of all tensors on one image, and samples of their values.

    Attributes:
        minima: (T,) float32.
        maxima: (T,) float32.
        samples: T flat arrays, each an evenly strided part of its tensor.
    """

    minima: FloatArray
    maxima: FloatArray
    samples: tuple[FloatArray, ...]


class TensorProbe:
    """A float graph whose inner tensors can be read.

    Args:
        model: Model with inferred, static shapes.
        tensors: Names of the tensors to read; the graph's input may be one of them.
        sample: Largest number of values of a tensor that are sampled per image.
        threads: Number of onnxruntime's threads within one run.
    """

    def __init__(
        self, model: onnx.ModelProto, tensors: Sequence[str], *, sample: int, threads: int
    ) -> None:
        view = GraphView(model)
        self.tensors = tuple(tensors)
        self.shapes = {name: view.shape(name) for name in self.tensors}
        self.strides = {name: stride_of(self.shapes[name], sample) for name in self.tensors}
        probed = copy_of(model)
        del probed.graph.output[:]
        probed.graph.output.extend(
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, self.shapes[name])
            for name in self.tensors
            if name not in view.inputs
        )
        self.session = make_session(probed, threads=threads)

    def reader(self) -> ProbeReader:
        """Make a reader with buffers of its own, for one thread."""
        return ProbeReader(self)


class ProbeReader:
    """Buffers and binding of one thread that runs images through a `TensorProbe`."""

    def __init__(self, probe: TensorProbe) -> None:
        self._probe = probe
        self._binding = probe.session.io_binding()
        self._buffers = {name: np.zeros(shape, np.float32) for name, shape in probe.shapes.items()}
        for output in probe.session.get_outputs():
            buffer = self._buffers[output.name]
            self._binding.bind_output(
                output.name, "cpu", 0, np.float32, buffer.shape, buffer.ctypes.data
            )

    def values(self, image: FloatArray) -> dict[str, FloatArray]:
        """Run one image (1, 3, H, W) float32 and return the buffers, which the next run overwrites."""
        if any(name != INPUT for name in self._probe.tensors):  # the input alone needs no run
            self._binding.bind_cpu_input(INPUT, image)
            self._probe.session.run_with_iobinding(self._binding)
        return {
            name: image if name == INPUT else self._buffers[name] for name in self._probe.tensors
        }

    def read(self, image: FloatArray) -> Extremes:
        """Run one image (1, 3, H, W) float32 and return the extremes of the tensors."""
        tensors = list(self.values(image).values())
        strides = self._probe.strides.values()
        return Extremes(
            minima=np.array([tensor.min() for tensor in tensors]),
            maxima=np.array([tensor.max() for tensor in tensors]),
            samples=tuple(
                tensor.ravel()[::stride].copy()
                for tensor, stride in zip(tensors, strides, strict=True)
            ),
        )


def stride_of(shape: tuple[int, ...], sample: int) -> int:
    """Return the smallest stride that takes at most `sample` values and shares no factor with a side.

    A stride of 4 over (1, N, 4) would take values of one column only.
    """
    stride = max(1, -(-int(np.prod(shape)) // sample))
    if stride > 1:
        while any(np.gcd(stride, side) > 1 for side in shape[1:]):
            stride += 1
    return stride
