"""Inner tensors of a running graph."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx_text import model_from

from edgessd.calibrate.tensor_probe import TensorProbe, stride_of


@pytest.fixture
def model() -> onnx.ModelProto:
    return model_from(
        """
        g (float[1,3,4,5] image) => (float[1,3,4,5] y) {
          [twice] d = Add(image, image)
          [last] y = Relu(d)
        }
        """
    )


def test_inner_tensors_and_the_input_are_read(model: onnx.ModelProto) -> None:
    reader = TensorProbe(model, ["image", "d", "y"], sample=1000, threads=1).reader()
    image = np.linspace(-3, 4, 60, dtype=np.float32).reshape(1, 3, 4, 5)
    found = reader.read(image)
    np.testing.assert_array_equal(found.minima, np.float32([-3, -6, 0]))
    np.testing.assert_array_equal(found.maxima, np.float32([4, 8, 8]))
    np.testing.assert_array_equal(found.samples[1], 2 * image.ravel())


def test_two_readers_have_buffers_of_their_own(model: onnx.ModelProto) -> None:
    probe = TensorProbe(model, ["d"], sample=1000, threads=1)
    ones = np.ones((1, 3, 4, 5), np.float32)
    first = probe.reader().values(ones)["d"]
    probe.reader().values(5 * ones)
    np.testing.assert_array_equal(first, 2 * ones)


@pytest.mark.parametrize("shape", [(1, 4, 6, 6), (1, 1917, 4), (1, 35, 10, 10)])
def test_a_stride_keeps_the_limit_and_reaches_every_column(shape: tuple[int, ...]) -> None:
    stride = stride_of(shape, sample=100)
    places = np.arange(np.prod(shape))[::stride]
    assert len(places) <= 100
    assert set(places % shape[-1]) == set(range(shape[-1]))


def test_a_small_tensor_is_taken_whole() -> None:
    assert stride_of((1, 4, 5), sample=20) == 1
