"""Quantize the float .tflite of litert-torch with ai-edge-quantizer.

The recipe is its only one for int8 activations, `static_wi8_ai8`, with its default (minimum and maximum) and
with each other algorithm of the library for convolutions (GPTQ, OSCAR and the Hadamard rotations support
fully connected layers only). "symmetric" is that recipe without zero points.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from job import Job

DISTRIBUTION = "ai-edge-quantizer"
LIBRARIES = ("ai_edge_quantizer.quantizer",)
REQUIREMENTS = "../litert_torch/requirements.txt"
METHODS: dict[str, dict[str, Any]] = {
    f"static_wi8_ai8{words}": {"scheme": scheme, "engine": ".tflite", "algorithm": algorithm}
    for words, scheme, algorithm in (
        ("", "affine", "MIN_MAX_UNIFORM_QUANT"),
        (", OCTAV", "affine", "OCTAV"),
        (", MSE", "affine", "MSE"),
        (", symmetric", "symmetric", "MIN_MAX_UNIFORM_QUANT"),
        (", OCTAV, symmetric", "symmetric", "OCTAV"),
    )
}
# MSE supports only these operators; the others would stay float.
_MSE_OPERATORS = ("CONV_2D", "DEPTHWISE_CONV_2D")


def prepare(job: Job) -> None:
    """Return the float .tflite; convert it once."""
    import numpy as np

    if _float_model(job).is_file():
        return
    here = Path(__file__).resolve().parent
    sys.path.insert(0, str(here.parent / "litert_torch"))
    from convert import convert_float, read_checkpoint

    example = np.load(job.tensors, mmap_mode="r")[:1].transpose(0, 2, 3, 1)
    unfinished = _float_model(job).with_suffix(".part.tflite")
    convert_float(read_checkpoint(job.checkpoint), np.ascontiguousarray(example), unfinished)
    unfinished.replace(_float_model(job))


def quantize(job: Job) -> None:
    import numpy as np
    from ai_edge_quantizer import quantizer, recipe_manager
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import TFLOperationName

    method = METHODS[job.method]
    recipes = recipe_manager.RecipeManager()
    settings = [("ALL_SUPPORTED", method["algorithm"])]
    if method["algorithm"] == "MSE":
        settings = [("ALL_SUPPORTED", "MIN_MAX_UNIFORM_QUANT")]
        settings += [(operator, "MSE") for operator in _MSE_OPERATORS]
    for operator, algorithm in settings:
        # The same as recipe.static_wi8_ai8(algorithm), for one kind of operator.
        recipes.add_static_config(
            regex=".*",
            operation_name=TFLOperationName[operator],
            activation_num_bits=8,
            weight_num_bits=8,
            algorithm_key=AlgorithmName[algorithm],
        )
    entries = recipes.get_quantization_recipe()
    for entry in entries:
        entry["op_config"]["activation_tensor_config"]["symmetric"] = (
            method["scheme"] == "symmetric"
        )
    tensors = np.load(job.tensors, mmap_mode="r").transpose(0, 2, 3, 1)
    peer = quantizer.Quantizer(str(_float_model(job)))
    peer.load_quantization_recipe(entries)
    samples = [{"args_0": np.ascontiguousarray(tensor[None])} for tensor in tensors]
    statistics = peer.calibrate({"serving_default": samples}, num_threads=2)
    peer.quantize(statistics).export_model(str(job.engine), overwrite=True)


def _float_model(job: Job) -> Path:
    return job.folder / "float.tflite"
