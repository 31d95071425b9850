"""Quantize with `onnxruntime.quantization.quantize_static` and each of its calibration methods.

The format is always QuantFormat.QDQ with int8 activations and symmetric int8 weights per channel. "affine"
allows zero points of activations (the default); "symmetric" sets ActivationSymmetric, which TensorRT needs.
The float graph is already simplified and its batch norm folded, so the preprocessing that onnxruntime
recommends would change nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from job import Job

DISTRIBUTION = "onnxruntime"
LIBRARIES = ("onnxruntime.quantization",)
REQUIREMENTS = None

_MOVING = {"CalibMovingAverage": True}
_OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "MinMax": ("MinMax", {}),
    "MinMax, moving average": ("MinMax", _MOVING),
    "Percentile 99.999 (its default)": ("Percentile", {}),
    "Percentile 99.99": ("Percentile", {"CalibPercentile": 99.99}),
    "Entropy": ("Entropy", {}),
    "Distribution": ("Distribution", {}),
}
METHODS: dict[str, dict[str, Any]] = {
    f"{name}, {scheme}": {
        "scheme": scheme,
        "engine": ".onnx",
        "calibrate_method": method,
        "extra_options": {**options, "ActivationSymmetric": scheme == "symmetric"},
    }
    for name, (method, options) in _OPTIONS.items()
    for scheme in ("affine", "symmetric")
}


def quantize(job: Job) -> None:
    import numpy as np
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class TensorReader(CalibrationDataReader):
        def __init__(self, tensors: np.ndarray) -> None:
            self.feeds: Iterator[dict[str, np.ndarray]] = (
                {"image": tensor[None]} for tensor in tensors
            )

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.feeds, None)

    method = METHODS[job.method]
    quantize_static(
        job.float_graph,
        job.engine,
        TensorReader(np.load(job.tensors, mmap_mode="r")),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        calibrate_method=CalibrationMethod[method["calibrate_method"]],
        extra_options=dict(method["extra_options"]),
    )
