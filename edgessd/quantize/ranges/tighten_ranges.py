"""Reduce a tensor's range if that lowers the error of the network's outputs.

A rule that sees one tensor can't know which of its values matter. In a MobileNetV2 most tensors need the
whole range. Some late tensors hold rare large values that no output depends on: reducing their range to 0.7
of it halves the error that they cause. So each tensor is rounded alone in the float network, at smaller and
smaller fractions of its range, until the outputs get worse.

Tensors that an activation function bounds keep their range: a ReLU6 that reaches 6 must not be cut.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgessd.calibrate.calibration_set import Pixels
from edgessd.calibrate.channels import Values, each_image
from edgessd.calibrate.ordered_map import WORKERS
from edgessd.core.contract import Contract
from edgessd.core.network_tensors import BOX_CODES, CLASS_SCORES, OUTPUTS
from edgessd.core.tensors import QuantParams
from edgessd.graph.subgraph import subgraph_from
from edgessd.graph.verify import make_session
from edgessd.quantize.analysis.output_error import (
    OutputError,
    Outputs,
    output_error,
    relevant_anchors,
)
from edgessd.quantize.annotate import Group, Plan
from edgessd.quantize.qparams import dequantize_activation, quantize_activation
from edgessd.quantize.schemes import Scheme

SHARES = (1.0, 0.85, 0.7, 0.55)
"""Fractions of the range to try."""

HOPELESS = 1.15
"""Error relative to the best one so far at which the search stops."""

TIE = 1.5
"""Ratio up to which errors count as equal. The larger share then wins, because it also holds values of rare
images. With 1.1 a dozen early tensors are cut for a gain that other images don't confirm."""

IMAGES = 8
"""Largest number of samples to measure on: those with the most relevant anchors."""

FEW = 4
"""Number of samples on which the first step must reduce the error to `WORTHWHILE`; else the tensor keeps its
range."""

WORTHWHILE = 0.85
"""Error relative to that of the whole range, below which a search is worth its time."""

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Sample:
    """One calibration image.

    Attributes:
        values: Tensors of the float network by name, the outputs among them.
        relevant: (N,) anchors that the error is measured on.
    """

    values: Mapping[str, NDArray[np.float32]]
    relevant: NDArray[np.bool_]

    @property
    def expected(self) -> Outputs:
        """Outputs of the float network."""
        return self.values[BOX_CODES], self.values[CLASS_SCORES]


Network = Callable[[_Sample, QuantParams], Outputs]
"""Function that runs the float network with one tensor rounded."""


def tighten_ranges(
    model: onnx.ModelProto,
    contract: Contract,
    plan: Plan,
    ranges: Mapping[str, Range],
    scheme: Scheme,
    samples: Pixels,
) -> dict[str, Range]:
    """Return the ranges, reduced if that lowers the error of the outputs.

    Args:
        model: Float model after all float passes.
        contract: Contract of the model.
        plan: Plan from `annotate`.
        ranges: (low, high) by name of the plan's groups.
        scheme: Scheme of the ranges.
        samples: Pixels (n, 3, H, W) of calibration images. If the float network detects nothing in them, the
            ranges stay as they are.
    """
    groups = [group for group in plan.groups if group.name in ranges and _is_unbounded(group)]
    subgraphs = {
        group.name: subgraph_from(model, group.sources[0])
        for group in groups
        if group.sources[0] not in OUTPUTS
    }
    read = {entry.name for subgraph in subgraphs.values() for entry in subgraph.graph.input}
    shown = _samples_with_objects(model, contract, sorted(read.union(OUTPUTS)), samples)
    chosen = dict(ranges)
    if not shown:
        return chosen
    with ThreadPoolExecutor(WORKERS) as pool:
        for group in groups:
            network = _rounded_network(group.sources[0], subgraphs.get(group.name))
            low, high = ranges[group.name]
            measure = partial(_error_at, pool, shown, contract, network, scheme, (low, high))
            share = best_share(measure)
            chosen[group.name] = (low * share, high * share)
    return chosen


def _is_unbounded(group: Group) -> bool:
    return len(group.sources) == 1 and math.isinf(group.low) and math.isinf(group.high)


def _samples_with_objects(
    model: onnx.ModelProto, contract: Contract, names: list[str], samples: Pixels
) -> list[_Sample]:
    """Choose up to `IMAGES` samples with the most relevant anchors."""

    def look(values: Values) -> _Sample | None:
        relevant = relevant_anchors(values[CLASS_SCORES], contract)
        if not relevant.any():
            return None
        kept = {name: value.copy() for name, value in values.items()}
        return _Sample(values=kept, relevant=relevant)

    seen = each_image(model, contract.preprocess, names, samples, look)
    shown = [sample for sample in seen if sample is not None]
    return sorted(shown, key=lambda sample: -int(sample.relevant.sum()))[:IMAGES]


def _rounded_network(rounded: str, subgraph: onnx.ModelProto | None) -> Network:
    """Make the function that runs what follows a tensor; None stands for an output, which nothing follows."""
    session: Any = None if subgraph is None else make_session(subgraph, threads=1)
    names = [rounded] if session is None else [output.name for output in session.get_outputs()]
    others = [] if session is None else [entry.name for entry in session.get_inputs()][1:]

    def run(sample: _Sample, params: QuantParams) -> Outputs:
        integers = quantize_activation(sample.values[rounded], params)
        values = dequantize_activation(integers, params)
        if session is None:
            found = [values]
        else:
            unchanged = {name: sample.values[name] for name in others}
            found = session.run(names, {rounded: values} | unchanged)
        tensors = {**sample.values, **dict(zip(names, found, strict=True))}
        return tensors[BOX_CODES], tensors[CLASS_SCORES]

    return run


def _error_at(
    pool: ThreadPoolExecutor,
    samples: Sequence[_Sample],
    contract: Contract,
    network: Network,
    scheme: Scheme,
    whole: Range,
    share: float,
    count: int,
) -> OutputError:
    """Measure the error at a share of the whole range, on the first `count` samples."""
    params = scheme.params(whole[0] * share, whole[1] * share)
    used = samples[:count]
    return output_error(
        [sample.expected for sample in used],
        list(pool.map(network, used, repeat(params))),
        [sample.relevant for sample in used],
        contract,
    )


def best_share(measure: Callable[[float, int], OutputError]) -> float:
    """Return the largest share whose error is as small as the best; scores and boxes count equally.

    Args:
        measure: Function from a share and a number of images to the error.
    """
    if _ratio(measure(SHARES[1], FEW), measure(SHARES[0], FEW)) > WORTHWHILE:
        return SHARES[0]
    whole = measure(SHARES[0], IMAGES)
    errors = {SHARES[0]: 1.0}
    for share in SHARES[1:]:
        errors[share] = _ratio(measure(share, IMAGES), whole)
        if errors[share] > HOPELESS * min(errors.values()):
            break
    best = min(errors.values())
    return max(share for share, error in errors.items() if error <= TIE * best)


def _ratio(error: OutputError, reference: OutputError) -> float:
    """Return the mean ratio of score and box errors; 1 if the tensor has no influence."""
    parts = [
        part / whole
        for part, whole in (
            (error.score, reference.score),
            (error.box_power, reference.box_power),
        )
        if whole > 0
    ]
    return sum(parts) / len(parts) if parts else 1.0
