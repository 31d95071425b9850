"""LiteRT as a backend: engines that it can't use."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgessd.core.errors import BackendError
from edgessd.runtime.starter import starter_bundle
from edgessd.runtime.tflite_backend import LiteRtBackend, tensor_spec


def _detail(**changes: Any) -> dict[str, Any]:
    known = {
        "name": "image",
        "shape": np.array([1, 8, 8, 3]),
        "shape_signature": np.array([1, 8, 8, 3]),
        "dtype": np.int8,
        "quantization": (0.5, -3),
    }
    return {**known, **changes}


def test_a_quantized_tensor_has_its_scale_and_layout() -> None:
    spec = tensor_spec(_detail())
    assert (spec.shape, spec.dtype, spec.layout) == ((1, 8, 8, 3), "int8", "NHWC")
    assert spec.quantization is not None
    assert (spec.quantization.scale, spec.quantization.zero_point) == (0.5, -3)


def test_a_float_tensor_has_no_quantization() -> None:
    spec = tensor_spec(_detail(dtype=np.float32, quantization=(0.0, 0)))
    assert (spec.dtype, spec.quantization) == ("float32", None)


def test_a_shape_that_is_not_fixed_is_refused() -> None:
    with pytest.raises(BackendError, match="no fixed shape"):
        tensor_spec(_detail(shape_signature=np.array([1, -1, -1, 3])))


def test_a_broken_engine_is_refused() -> None:
    with pytest.raises(BackendError, match="LiteRT refuses The engine"):
        LiteRtBackend(b"no flatbuffer" * 4)


def test_a_closed_engine_does_not_run() -> None:
    backend = LiteRtBackend(starter_bundle() / "engine.tflite")
    image = np.zeros(backend.input.shape, backend.input.numpy_dtype)
    assert len(backend.infer(image)) == 2
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="was closed"):
        backend.infer(image)
