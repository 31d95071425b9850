"""Quantize the ONNX graph with NVIDIA ModelOpt, calibrated on the CPU.

It is symmetric, for TensorRT, and omits Q/DQ pairs by its heuristics. The remaining tensors are float32 here
(`high_precision_dtype`; its default float16 could only lose accuracy).
"""

from __future__ import annotations

from typing import Any

from job import Job

DISTRIBUTION = "nvidia-modelopt"
LIBRARIES = ("modelopt.onnx.quantization",)
REQUIREMENTS = "modelopt.txt"
METHODS: dict[str, dict[str, Any]] = {
    f"int8 {method}": {"scheme": "symmetric", "engine": ".onnx", "calibration_method": method}
    for method in ("max", "entropy")
}


def quantize(job: Job) -> None:
    import numpy as np
    from modelopt.onnx.quantization import quantize

    quantize(
        str(job.float_graph),
        quantize_mode="int8",
        calibration_data={"image": np.load(job.tensors)},
        calibration_method=METHODS[job.method]["calibration_method"],
        calibration_eps=["cpu"],
        high_precision_dtype="fp32",
        output_path=str(job.engine),
        log_level="WARNING",
    )
