"""The two quantization schemes, each as its integer engines require their graphs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from edgessd.core.errors import ConfigError
from edgessd.core.tensors import QuantParams
from edgessd.quantize.qparams import affine_params, symmetric_params

SchemeName = Literal["affine", "symmetric"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scheme:
    """Rules of quantization of one family of engines.

    Attributes:
        name: Name in targets and recipes.
        params: Function from a range (low, high) to the scale and zero point of an activation.
        symmetric: True if zero points are 0, so that ranges are mirrored around 0.
        integer_bias: True if biases are int32 at input scale x weight scale; False if they stay float32
            and the engine converts them.
        float_residual_branch: True if the convolution that feeds a residual Add passes its float sum on,
            so that the engine adds before it rounds. The Add's other input is quantized in any case.
        float16_parameters: True if scales and float biases are float16 numbers, so that a graph of
            float16 tensors holds the same numbers as one of float32 tensors.
    """

    name: SchemeName
    params: Callable[[float, float], QuantParams]
    symmetric: bool
    integer_bias: bool
    float_residual_branch: bool
    float16_parameters: bool


AFFINE = Scheme(
    name="affine",
    params=affine_params,
    symmetric=False,
    integer_bias=True,
    float_residual_branch=False,
    float16_parameters=False,
)
"""LiteRT's int8 specification, which Edge TPU and onnxruntime accept too."""

SYMMETRIC = Scheme(
    name="symmetric",
    params=symmetric_params,
    symmetric=True,
    # TensorRT's parser refuses DequantizeLinear on int32.
    integer_bias=False,
    # "Residual addition": quantize the skip input, let the convolution fuse with the Add.
    float_residual_branch=True,
    # TensorRT 11 uses the types that the graph states, and FP16 layers require float16 parameters.
    float16_parameters=True,
)
"""TensorRT's explicit quantization: symmetric activations, per-channel weights, float biases."""

SCHEMES: dict[str, Scheme] = {scheme.name: scheme for scheme in (AFFINE, SYMMETRIC)}


def scheme_named(name: str) -> Scheme:
    """Return a scheme by its name.

    Raises:
        ConfigError: There is no scheme of this name.
    """
    if name not in SCHEMES:
        raise ConfigError("Unknown quantization scheme", expected=" or ".join(SCHEMES), found=name)
    return SCHEMES[name]
