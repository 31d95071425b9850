"""Change the precision of a target's engine."""

from __future__ import annotations

from typing import Literal

import msgspec

from edgessd.core.errors import TargetError
from edgessd.target.spec import TargetSpec

Precision = Literal["int8", "fp16"]


def with_precision(spec: TargetSpec, precision: Precision | None) -> TargetSpec:
    """Return the target with an INT8 or an FP16 engine.

    Args:
        spec: Target; returned unchanged if `precision` is None or its own.
        precision: Precision of the engine; only TensorRT targets have a choice.

    Raises:
        TargetError: The device can't run it, or the engine format has no such precision.
    """
    if precision is None or (precision == "int8" and spec.engine.scheme != "float"):
        return spec
    if spec.tensorrt is None:
        raise TargetError(
            f"The engine of {spec.name} can't be {precision}",
            expected="a target that TensorRT compiles for, or no --precision",
            found=f"a {spec.engine.scheme} .{spec.engine.format}",
            fix="`edgessd targets` lists the engine of each target",
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
