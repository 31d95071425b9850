"""Descriptions of tensors: scales, types and number forms."""

from __future__ import annotations

import msgspec
import pytest

from edgessd.core.errors import ConfigError
from edgessd.core.tensors import QuantParams, TensorSpec, check_number_form


def test_a_scale_is_positive() -> None:
    for scale in (0.0, -1.0, float("nan")):
        with pytest.raises(ConfigError, match="scale"):
            QuantParams(scale=scale)


def test_a_tensor_knows_its_numpy_type() -> None:
    tensor = TensorSpec(name="x", shape=(1,), dtype="int8", quantization=QuantParams(scale=1))
    assert tensor.numpy_dtype.itemsize == 1
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"name": "x", "shape": [1], "dtype": "bfloat16"}, TensorSpec)


@pytest.mark.parametrize(
    ("dtype", "scaled", "good"),
    [
        ("int8", True, True),
        ("uint8", True, True),
        ("float32", False, True),
        ("float16", False, True),
        ("int8", False, False),
        ("float32", True, False),
        ("int32", False, False),
        ("int32", True, False),
    ],
)
def test_only_integers_of_8_bits_have_a_scale(dtype, scaled: bool, good: bool) -> None:
    scale = QuantParams(scale=0.5) if scaled else None
    tensor = TensorSpec(name="x", shape=(1,), dtype=dtype, quantization=scale)
    if good:
        check_number_form(tensor)
    else:
        with pytest.raises(ConfigError, match=rf"'x' can't be read as numbers.*Found {dtype}"):
            check_number_form(tensor)
