"""Names of what `insert_qdq` adds to a float graph. No other module writes or reads them.

A tensor `t` whose parameters are stored under the name `p` gets these:

    t → QuantizeLinear t.q (p.scale, p.zero_point) → t.quantized → DequantizeLinear t.dq → t.dequantized

A graph output keeps its name for what the DequantizeLinear writes; its float tensor becomes `t.real`. Weights
and biases `w` are stored as `w.quantized` with `w.scale` and `w.zero_point` of their own.
"""

from __future__ import annotations

import onnx

_SCALE = ".scale"
_ZERO_POINT = ".zero_point"
_QUANTIZED = ".quantized"
_DEQUANTIZED = ".dequantized"
_REAL = ".real"
_QUANTIZER = ".q"
_DEQUANTIZER = ".dq"


def scale(stored: str) -> str:
    """Name of the scale's initializer."""
    return stored + _SCALE


def zero_point(stored: str) -> str:
    """Name of the zero point's initializer."""
    return stored + _ZERO_POINT


def quantized(tensor: str) -> str:
    """Name of a tensor's integers."""
    return tensor + _QUANTIZED


def dequantized(tensor: str) -> str:
    """Name of a tensor after rounding, which its readers read; not of a graph output."""
    return tensor + _DEQUANTIZED


def real(output: str) -> str:
    """Name of a graph output before rounding."""
    return output + _REAL


def quantizer(tensor: str) -> str:
    """Name of a tensor's QuantizeLinear node."""
    return tensor + _QUANTIZER


def dequantizer(tensor: str) -> str:
    """Name of a tensor's DequantizeLinear node."""
    return tensor + _DEQUANTIZER


def stored_name(node: onnx.NodeProto) -> str:
    """Name that a QuantizeLinear's or DequantizeLinear's parameters are stored under."""
    return str(node.input[1]).removesuffix(_SCALE)


def float_tensor(node: onnx.NodeProto) -> str:
    """Name in the float graph of the tensor that a QuantizeLinear rounds."""
    return str(node.input[0]).removesuffix(_REAL)


def float_name(dequantized_name: str) -> str:
    """Name in the float graph of what a DequantizeLinear writes; any other name stays as it is."""
    return dequantized_name.removesuffix(_DEQUANTIZED)
