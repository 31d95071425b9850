"""A target with the precision that a person asked for instead of its own."""

from __future__ import annotations

from typing import Literal

import msgspec

from edgessd.core.errors import TargetError
from edgessd.target.spec import TargetSpec

Precision = Literal["int8", "fp16"]


def with_precision(spec: TargetSpec, precision: Precision | None) -> TargetSpec:
    """The target with an INT8 or an FP16 engine.

    Args:
        spec: Stays as it is where `precision` is None or what it has anyway.
        precision: Only TensorRT engines leave a choice.

    Raises:
        TargetError: The device can't run it, with the reason, or its engine format has no FP16.
    """
    if precision is None or (precision == "int8" and spec.engine.scheme != "float"):
        return spec
    if spec.tensorrt is None:
        raise TargetError(
            f"The engine of {spec.name} can't be {precision}",
            expected="a target that TensorRT compiles for, or no --precision",
            found=f"a {spec.engine.scheme} .{spec.engine.format}",
            fix="`edgessd targets` lists what each one runs",
        )
    if precision == "int8":
        if not spec.tensorrt.int8:
            raise TargetError(
                f"{spec.title} can't run an INT8 engine: {spec.tensorrt.int8_reason}",
                expected="--precision fp16",
                found="int8",
                fix=f"edgessd build --target {spec.name} builds its FP16 engine",
            )
        engine = msgspec.structs.replace(spec.engine, scheme="symmetric", input_dtype="int8")
    else:
        engine = msgspec.structs.replace(spec.engine, scheme="float", input_dtype="float16")
    return msgspec.structs.replace(spec, engine=engine)
