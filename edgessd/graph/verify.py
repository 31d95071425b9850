"""Checks between passes: the graph is well formed, and its outputs stay the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx

from edgessd.core.arrays import FloatArray
from edgessd.core.errors import GraphError
from edgessd.runtime import ort_session

# On raw outputs: absolute where they are a few units, and relative to an output's largest magnitude
# beyond, because two orders of summing 1,280 float32 products differ in proportion to the sum.
TOLERANCE = 1e-4
RELATIVE_TOLERANCE = 1e-5


def checked(model: onnx.ModelProto, *, after: str) -> onnx.ModelProto:
    """Return the model with inferred shapes, if the ONNX checker accepts it.

    Args:
        model: Model to check.
        after: Name of the pass that made it, for messages.

    Raises:
        GraphError: The graph is malformed or its shapes contradict each other.
    """
    try:
        inferred = onnx.shape_inference.infer_shapes(
            model, check_type=True, strict_mode=True, data_prop=True
        )
        onnx.checker.check_model(inferred)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise GraphError(f"The graph is malformed after {after}", found=str(error)) from error
    return inferred


def make_session(model: onnx.ModelProto | bytes, *, threads: int = 0) -> Any:
    """An onnxruntime session on the CPU; 0 threads leaves the choice to onnxruntime."""
    content = model if isinstance(model, bytes) else model.SerializeToString()
    return ort_session.make_session(content, threads=threads)


def run_model(model: onnx.ModelProto, feeds: Mapping[str, Any]) -> dict[str, FloatArray]:
    """Run a model once in onnxruntime and return its outputs by name."""
    session = make_session(model)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


def check_parity(
    expected: Mapping[str, FloatArray],
    found: Mapping[str, FloatArray],
    *,
    what: str,
    tolerance: float = TOLERANCE,
) -> float:
    """Compare outputs by name.

    Returns:
        Largest absolute difference.

    Raises:
        GraphError: An output is missing, has another shape, or differs by more than the larger of
            `tolerance` and RELATIVE_TOLERANCE times its largest magnitude; the message names the output with
            the largest excess.
    """
    worst, worst_name, worst_excess, allowed = 0.0, "", 0.0, tolerance
    for name, reference in expected.items():
        if name not in found or found[name].shape != reference.shape:
            raise GraphError(
                f"{what}: output {name!r} doesn't match",
                expected=f"shape {reference.shape}",
                found=f"shape {found[name].shape}" if name in found else "no such output",
            )
        difference = np.abs(found[name].astype(np.float64) - reference)
        largest = float(difference.max(initial=0.0))
        if not np.isfinite(difference).all():
            largest = float("inf")
        limit = max(tolerance, RELATIVE_TOLERANCE * float(np.abs(reference).max(initial=0.0)))
        worst = max(worst, largest)
        if largest / limit > worst_excess:
            worst_name, worst_excess, allowed = name, largest / limit, limit
    if worst_excess > 1:
        raise GraphError(
            f"{what}: the numbers moved, most of all in {worst_name!r}",
            expected=f"differences of at most {allowed:.3g}",
            found=f"{worst_excess * allowed:.3g}",
        )
    return worst
