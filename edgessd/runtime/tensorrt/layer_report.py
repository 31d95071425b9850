"""Read the layers of an engine and their precisions from TensorRT's engine inspector."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

# A data type's description is searched in this order. TensorRT-RTX and TensorRT 11 write "Half" and "Float"
# for FP16 and FP32 of TensorRT 8 and 10.
_PRECISIONS = (
    ("INT8", re.compile(r"\bint8\b", re.IGNORECASE)),
    ("FP16", re.compile(r"\b(fp16|half|float16)\b", re.IGNORECASE)),
    ("FP32", re.compile(r"\b(fp32|float|float32)\b", re.IGNORECASE)),
)
# TensorRT 8 and 10 describe format and type in one text; 11 has a key for each.
_TYPE_KEYS = ("DataType", "Datatype", "Format/Datatype", "Format/DataType")


class LayerReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Layers of a compiled engine by precision.

    Attributes:
        layers: `INT8`, `FP16`, `FP32`, `DLA` or `other` → names in the engine's order. A layer's
            precision is that of its weights, else of its first input, else of its first output, as in
            NVIDIA's engine explorer. Layers such as index arithmetic are `other`.
    """

    layers: dict[str, tuple[str, ...]]

    @property
    def counts(self) -> dict[str, int]:
        """Number of layers by precision."""
        return {kind: len(names) for kind, names in self.layers.items()}


def read_layer_report(text: str) -> LayerReport | None:
    """Parse `EngineInspector.get_engine_information(JSON)` or trtexec's --exportLayerInfo.

    Returns:
        The report; None if the engine was built without details and has only names.
    """
    layers = json.loads(text).get("Layers", [])
    if not all(isinstance(layer, dict) for layer in layers):
        return None
    found: dict[str, list[str]] = {}
    for layer in layers:
        found.setdefault(_kind(layer), []).append(str(layer.get("Name", "")))
    order = ("INT8", "FP16", "FP32", "DLA", "other")
    return LayerReport(layers={kind: tuple(found[kind]) for kind in order if kind in found})


def _kind(layer: dict[str, Any]) -> str:
    if "DLA" in str(layer.get("LayerType", "")):
        return "DLA"
    weights = layer.get("Weights")
    candidates = [str(weights.get("Type", ""))] if isinstance(weights, dict) else []
    for side in ("Inputs", "Outputs"):
        candidates += [_described(tensor) for tensor in layer.get(side, [])[:1]]
    for text in candidates:
        for name, pattern in _PRECISIONS:
            if pattern.search(text):
                return name
    return "other"


def _described(tensor: Any) -> str:
    if not isinstance(tensor, dict):
        return ""
    return " ".join(str(tensor[key]) for key in _TYPE_KEYS if key in tensor)
