"""`ai-edge-quantizer` on the float .tflite that litert-torch makes of the same PyTorch network.

The recipe is its only one for int8 activations, `static_wi8_ai8`, with each algorithm of the library
that takes convolutions and int8 activations. "symmetric" is that recipe without zero points.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from job import Job

DISTRIBUTION = "ai-edge-quantizer"
LIBRARIES = ("ai_edge_quantizer.quantizer", "ai_edge_quantizer.recipe")
REQUIREMENTS = "../litert_torch/requirements.txt"
METHODS: dict[str, dict[str, Any]] = {
    f"static_wi8_ai8 {algorithm}{'' if scheme == 'affine' else ', symmetric'}": {
        "scheme": scheme,
        "engine": ".tflite",
        "algorithm": algorithm,
    }
    for scheme, algorithm in (
        ("affine", "MIN_MAX_UNIFORM_QUANT"),
        ("affine", "OCTAV"),
        ("affine", "MSE"),
        ("symmetric", "MIN_MAX_UNIFORM_QUANT"),
        ("symmetric", "OCTAV"),
    )
}


def prepare(job: Job) -> None:
    """The float .tflite, once."""
    import numpy as np

    if _float_model(job).is_file():
        return
    here = Path(__file__).resolve().parent
    sys.path.insert(0, str(here.parent / "litert_torch"))
    from convert import convert_float, read_checkpoint

    example = np.load(job.tensors, mmap_mode="r")[:1].transpose(0, 2, 3, 1)
    convert_float(read_checkpoint(job.checkpoint), np.ascontiguousarray(example), _float_model(job))


def quantize(job: Job) -> None:
    import numpy as np
    from ai_edge_quantizer import quantizer, recipe
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    method = METHODS[job.method]
    entries = recipe.static_wi8_ai8(algorithm_key=AlgorithmName[method["algorithm"]])
    for entry in entries:
        entry["op_config"]["activation_tensor_config"]["symmetric"] = (
            method["scheme"] == "symmetric"
        )
    tensors = np.load(job.tensors, mmap_mode="r").transpose(0, 2, 3, 1)
    peer = quantizer.Quantizer(str(_float_model(job)))
    peer.load_quantization_recipe(entries)
    samples = [{"args_0": np.ascontiguousarray(tensor[None])} for tensor in tensors]
    statistics = peer.calibrate({"serving_default": samples}, num_threads=1)
    peer.quantize(statistics).export_model(str(job.engine), overwrite=True)


def _float_model(job: Job) -> Path:
    return job.folder / "float.tflite"
