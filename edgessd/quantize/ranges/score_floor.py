"""End the range of class scores at the lowest score that can matter.

A detector's raw class scores reach far below any score threshold: most anchors see background, at a sigmoid
of 1e-9 and less. A range that holds them leaves few of the 255 steps to the scores that decide.
"""

from __future__ import annotations

from dataclasses import replace

from edgessd.core.contract import Contract
from edgessd.core.network_tensors import CLASS_SCORES
from edgessd.quantize.annotate import Plan

LOWEST_LOGIT = -8.0
"""Lowest logit in the range. Its sigmoid is 0.0003; the lowest score threshold, that of AP, is 0.01."""


def with_score_floor(plan: Plan, contract: Contract) -> Plan:
    """End the range of sigmoid class scores at `LOWEST_LOGIT`.

    Softmax scores keep their range: only their differences within an anchor have a meaning.
    """
    if contract.scoring.activation != "sigmoid":
        return plan
    groups = tuple(
        replace(group, low=max(group.low, LOWEST_LOGIT)) if CLASS_SCORES in group.tensors else group
        for group in plan.groups
    )
    return replace(plan, groups=groups)
