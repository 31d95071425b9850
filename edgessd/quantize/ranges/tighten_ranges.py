"""Choose a tensor's range by what its rounding and clipping do to the answers.

A rule that looks at a tensor alone can't know which of its values matter. In a MobileNetV2 most tensors
want all that calibration saw; some late ones hold rare large values that no answer depends on, and ending
their range at 0.7 of what the rule says halves the noise that they cause. So each tensor is rounded alone,
in the float network, at ever smaller shares of its range, until the answers get worse.

Only what an activation function doesn't bound is tried: a ReLU6 that reaches 6 mustn't be cut.
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
from edgessd.core.contract import Contract
from edgessd.core.network_tensors import BOX_CODES, CLASS_SCORES, OUTPUTS
from edgessd.core.tensors import QuantParams
from edgessd.graph.tail import tail_of
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

HOPELESS = 1.15
"""Noise over the best so far at which smaller shares aren't tried any more."""

TIE = 1.5
"""Noises as close as this count as equal, and the larger share wins: it also holds what few images show.
With 1.1 a dozen early tensors are cut for a gain that images from elsewhere don't confirm."""

IMAGES = 8
"""Of the table's samples, at most so many: those that show most."""

FEW = 4
"""Images on which the first step must bring the noise down to `WORTHWHILE`, or the tensor is left alone."""

WORTHWHILE = 0.85

WORKERS = 2

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Witness:
    """One image: the float network's tensors by name, outputs among them, and the anchors that matter."""

    values: Mapping[str, NDArray[np.float32]]
    relevant: NDArray[np.bool_]

    @property
    def expected(self) -> Outputs:
        """The float network's answer."""
        return self.values[BOX_CODES], self.values[CLASS_SCORES]


Answerer = Callable[[_Witness, QuantParams], Outputs]


def tighten_ranges(
    model: onnx.ModelProto,
    contract: Contract,
    plan: Plan,
    ranges: Mapping[str, Range],
    scheme: Scheme,
    samples: Pixels,
) -> dict[str, Range]:
    """The ranges, smaller where that serves the answers.

    Args:
        model: Float, with the preprocessing absorbed.
        contract: Of the model.
        plan: From `annotate`.
        ranges: (low, high) by name of the plan's groups.
        scheme: That the ranges are for.
        samples: (n, 3, H, W) pixels of calibration images. With nothing to be seen in any of them the
            ranges stay as they are.
    """
    groups = [group for group in plan.groups if group.name in ranges and _is_open(group)]
    tails = {
        group.name: tail_of(model, group.sources[0])
        for group in groups
        if group.sources[0] not in OUTPUTS
    }
    read = {entry.name for tail in tails.values() for entry in tail.graph.input}
    witnesses = _witnesses(model, contract, sorted(read.union(OUTPUTS)), samples)
    chosen = dict(ranges)
    if not witnesses:
        return chosen
    with ThreadPoolExecutor(WORKERS) as pool:
        for group in groups:
            answer = _answerer(group.sources[0], tails.get(group.name))
            low, high = ranges[group.name]
            measure = partial(_measured, pool, witnesses, contract, answer, scheme, (low, high))
            share = best_share(measure)
            chosen[group.name] = (low * share, high * share)
    return chosen


def _is_open(group: Group) -> bool:
    return len(group.sources) == 1 and math.isinf(group.low) and math.isinf(group.high)


def _witnesses(
    model: onnx.ModelProto, contract: Contract, names: list[str], samples: Pixels
) -> list[_Witness]:
    def look(values: Values) -> _Witness | None:
        relevant = relevant_anchors(values[CLASS_SCORES], contract)
        if not relevant.any():
            return None
        kept = {name: value.copy() for name, value in values.items()}
        return _Witness(values=kept, relevant=relevant)

    seen = each_image(model, contract.preprocess, names, samples, look)
    shown = [witness for witness in seen if witness is not None]
    return sorted(shown, key=lambda witness: -int(witness.relevant.sum()))[:IMAGES]


def _answerer(cut: str, tail: onnx.ModelProto | None) -> Answerer:
    """What the float network answers when one of its tensors is rounded."""
    session: Any = None if tail is None else make_session(tail, threads=1)
    names = [cut] if session is None else [output.name for output in session.get_outputs()]
    others = [] if session is None else [entry.name for entry in session.get_inputs()][1:]

    def answer(witness: _Witness, params: QuantParams) -> Outputs:
        rounded = dequantize_activation(quantize_activation(witness.values[cut], params), params)
        if session is None:
            found = [rounded]
        else:
            found = session.run(names, {cut: rounded} | {n: witness.values[n] for n in others})
        told = {**witness.values, **dict(zip(names, found, strict=True))}
        return told[BOX_CODES], told[CLASS_SCORES]

    return answer


def _measured(
    pool: ThreadPoolExecutor,
    witnesses: Sequence[_Witness],
    contract: Contract,
    answer: Answerer,
    scheme: Scheme,
    whole: Range,
    share: float,
    count: int,
) -> OutputError:
    params = scheme.params(whole[0] * share, whole[1] * share)
    asked = witnesses[:count]
    return output_error(
        [witness.expected for witness in asked],
        list(pool.map(answer, asked, repeat(params))),
        [witness.relevant for witness in asked],
        contract,
    )


def best_share(measure: Callable[[float, int], OutputError]) -> float:
    """The largest share whose noise is as good as the best; scores and boxes count the same.

    Args:
        measure: Of a share and a number of images.
    """
    if _ratio(measure(SHARES[1], FEW), measure(SHARES[0], FEW)) > WORTHWHILE:
        return SHARES[0]
    whole = measure(SHARES[0], IMAGES)
    noises = {SHARES[0]: 1.0}
    for share in SHARES[1:]:
        noises[share] = _ratio(measure(share, IMAGES), whole)
        if noises[share] > HOPELESS * min(noises.values()):
            break
    best = min(noises.values())
    return max(share for share, noise in noises.items() if noise <= TIE * best)


def _ratio(noise: OutputError, reference: OutputError) -> float:
    """1 where the tensor has no influence at all."""
    parts = [
        part / whole
        for part, whole in (
            (noise.score, reference.score),
            (noise.box_power, reference.box_power),
        )
        if whole > 0
    ]
    return sum(parts) / len(parts) if parts else 1.0
