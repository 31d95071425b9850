"""The two quantization schemes, each as the integer engines that use it want their graphs."""

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
    """How a family of engines quantizes.

    Attributes:
        name: As targets and recipes call it.
        params: Range → scale and zero point of an activation.
        symmetric: Whether zero points are 0, so that the range is mirrored around 0.
        integer_bias: Whether biases are int32 at input scale x weight scale; else they stay float32
            and the engine converts them.
        float_residual_branch: Whether the convolution that feeds a residual Add hands over its float
            sum, so that the engine adds before it rounds. The other input is quantized either way.
        float16_parameters: Whether scales and float biases are float16 numbers, so that a graph whose
            types say float16 holds the same numbers as one of float32.
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
"""LiteRT's int8 specification; Edge TPU and onnxruntime take the same."""

SYMMETRIC = Scheme(
    name="symmetric",
    params=symmetric_params,
    symmetric=True,
    # TensorRT's parser refuses DequantizeLinear on int32.
    integer_bias=False,
    # "Residual addition": quantize the skip input, let the convolution fuse with the Add.
    float_residual_branch=True,
    # TensorRT 11 takes the types as the graph states them, and FP16 layers want them float16.
    float16_parameters=True,
)
"""TensorRT's explicit quantization: symmetric activations, per-channel weights, float biases."""

SCHEMES: dict[str, Scheme] = {scheme.name: scheme for scheme in (AFFINE, SYMMETRIC)}


def scheme_named(name: str) -> Scheme:
    """The scheme of that name.

    Raises:
        ConfigError: There is none.
    """
    if name not in SCHEMES:
        raise ConfigError("Unknown quantization scheme", expected=" or ".join(SCHEMES), found=name)
    return SCHEMES[name]
