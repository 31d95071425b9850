"""edgessd itself: the default recipe in both schemes, as `edgessd build` applies it.

It reads the image files, which the others get as ready tensors; that is in its seconds.
"""

from __future__ import annotations

from typing import Any

from job import Job

DISTRIBUTION = "edgessd"
LIBRARIES = (
    "edgessd.calibrate.collect",
    "edgessd.graph.export",
    "edgessd.lower.tflite.lower",
    "edgessd.model.checkpoint",
    "edgessd.quantize.ptq",
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
    from edgessd.calibrate.collect import collect
    from edgessd.calibrate.samples import draw_samples
    from edgessd.graph.float_graph import load_graph
    from edgessd.lower.tflite.lower import lower_to_tflite
    from edgessd.quantize import ptq
    from edgessd.quantize.float_passes.apply import apply_float_passes
    from edgessd.quantize.recipe import load_recipe

    recipe = load_recipe("default")
    graph = load_graph(job.float_graph)
    images = CalibrationSet(job.images)
    ready = apply_float_passes(graph, draw_samples(images, graph.contract), recipe.float_passes)
    table = collect(ready, images)
    quantized = ptq.quantize(ready, table, scheme=METHODS[job.method]["scheme"], recipe=recipe)
    if job.engine.suffix == ".tflite":
        job.engine.write_bytes(lower_to_tflite(quantized).content)
    else:
        job.engine.write_bytes(quantized.model.SerializeToString())
    job.contract.write_bytes(msgspec.json.encode(quantized.contract))
