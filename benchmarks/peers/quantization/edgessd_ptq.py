"""Quantize with edgessd's default recipe in both schemes, like `edgessd build`.

Its seconds include reading the image files, which the others get as tensors.
"""

from __future__ import annotations

from typing import Any

from job import Job

DISTRIBUTION = "edgessd"
LIBRARIES = (
    "edgessd.graph.export",
    "edgessd.lower.tflite.lower",
    "edgessd.model.checkpoint",
    "edgessd.quantize.workflow",
)
REQUIREMENTS = None
METHODS: dict[str, dict[str, Any]] = {
    "default, Q/DQ": {"scheme": "affine", "engine": ".onnx"},
    "default, .tflite": {"scheme": "affine", "engine": ".tflite"},
    "default, Q/DQ for TensorRT": {"scheme": "symmetric", "engine": ".onnx"},
}


def quantize(job: Job) -> None:
    import msgspec

    from edgessd.calibrate.calibration_set import CalibrationSet
    from edgessd.graph.float_graph import load_graph
    from edgessd.lower.tflite.lower import lower_to_tflite
    from edgessd.quantize.recipe import load_recipe
    from edgessd.quantize.workflow import quantize_graph

    scheme = METHODS[job.method]["scheme"]
    found = quantize_graph(
        load_graph(job.float_graph),
        CalibrationSet(job.images),
        recipe=load_recipe("default"),
        schemes=(scheme,),
    )
    quantized = found.quantized[scheme]
    if job.engine.suffix == ".tflite":
        job.engine.write_bytes(lower_to_tflite(quantized).content)
    else:
        job.engine.write_bytes(quantized.model.SerializeToString())
    job.contract.write_bytes(msgspec.json.encode(quantized.contract))
