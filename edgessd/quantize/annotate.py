"""Plan the quantization of a float graph, and refuse a graph that can't be quantized, before any change.

A `Plan` names the groups of tensors that share one scale and zero point, and the convolutions whose
parameters become integers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

import onnx

from edgessd.core.errors import GraphError
from edgessd.core.union_find import UnionFind
from edgessd.graph.dataflow import (
    ACTIVATIONS,
    MOVES,
    clip_bounds,
    materialized_tensors,
    observed_tensors,
)
from edgessd.graph.view import GraphView
from edgessd.quantize.recipe import Exemption, RangeRule, Recipe
from edgessd.quantize.schemes import Scheme

SUPPORTED = frozenset({"Conv", "Add", "Concat"}) | ACTIVATIONS | MOVES


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Tensors that share one scale and zero point.

    Attributes:
        name: Name under which the scale and zero point are stored; that of one of the tensors.
        tensors: Members in graph order.
        sources: Members whose statistics determine the range; the others hold the same values, moved.
        rule: Rule for the range.
        low: Lower bound of the values by the graph itself, 0 after a ReLU; -inf without one.
        high: Upper bound by the graph itself, 6 after a ReLU6; inf without one.
    """

    name: str
    tensors: tuple[str, ...]
    sources: tuple[str, ...]
    rule: RangeRule
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Tensors and convolutions to quantize.

    Attributes:
        groups: Disjoint groups; every tensor in them gets a Q/DQ pair.
        convolutions: Names of the Conv nodes whose weights become int8.
    """

    groups: tuple[Group, ...]
    convolutions: tuple[str, ...]


def annotate(model: onnx.ModelProto, scheme: Scheme, recipe: Recipe) -> Plan:
    """Plan the quantization of a float graph.

    Raises:
        GraphError: The graph holds an operation that integer engines lack, or the recipe keeps a tensor
            float that the scheme must quantize.
    """
    view = GraphView(model)
    _refuse_unsupported(model)
    wanted = [
        name
        for name in materialized_tensors(model)
        if not (scheme.float_residual_branch and _is_residual_branch(view, name))
    ]
    observed = set(observed_tensors(model))
    groups = []
    for members in _shared(view, wanted):
        exemption = _exemption(recipe, scheme, members)
        if exemption is not None and exemption.keep_float:
            _refuse_float(scheme, members)
            continue
        rule = recipe.activations
        if exemption is not None and exemption.range is not None:
            rule = exemption.range
        groups.append(_group(view, members, observed, rule))
    quantized = {name for group in groups for name in group.tensors}
    return Plan(
        groups=tuple(groups),
        convolutions=tuple(
            node.name
            for node in model.graph.node
            if node.op_type == "Conv" and node.input[0] in quantized
        ),
    )


def _group(
    view: GraphView,
    members: list[str],
    observed: set[str],
    rule: RangeRule,
) -> Group:
    # The output of a Concat holds all values that it joins, so its statistics are those of the group.
    joined = [name for name in members if _op_type(view, name) == "Concat"]
    sources = joined or [name for name in members if name in observed]
    bounds = [_bounds(view, name) for name in members if name in observed and name not in joined]
    return Group(
        name=(joined or members)[0],
        tensors=tuple(members),
        sources=tuple(sources),
        rule=rule,
        low=min(low for low, _ in bounds),
        high=max(high for _, high in bounds),
    )


def _shared(view: GraphView, names: list[str]) -> list[list[str]]:
    """Partition tensors into groups: an operation that moves values, and a Concat, keep one scale."""
    sets = UnionFind(names)
    for name in names:
        producer = view.producer(name)
        if producer is None:
            continue
        if producer.op_type == "Concat":
            sources = list(producer.input)
        elif producer.op_type in MOVES:
            sources = [producer.input[0]]
        else:
            continue
        for source in sources:
            if source in sets:
                sets.join(name, source)
    return sets.groups()


def _is_residual_branch(view: GraphView, name: str) -> bool:
    """Tell whether a Conv makes the tensor for one Add alone, whose other input is the skip."""
    producer, add = view.producer(name), view.only_consumer(name)
    if producer is None or producer.op_type != "Conv" or add is None or add.op_type != "Add":
        return False
    # Where both inputs are such convolutions, only the second stays float: one rounding is enough.
    branches = [
        source
        for source in add.input
        if _op_type(view, source) == "Conv" and view.only_consumer(source) is not None
    ]
    return bool(name == branches[-1])


def _bounds(view: GraphView, name: str) -> tuple[float, float]:
    producer = view.producer(name)
    if producer is None or producer.op_type not in ACTIVATIONS:
        return float("-inf"), float("inf")
    return clip_bounds(view, producer)


def _exemption(recipe: Recipe, scheme: Scheme, members: Iterable[str]) -> Exemption | None:
    """Find the last exemption of the scheme that names a member; all members follow it."""
    names = list(members)
    for exemption in reversed(recipe.exemptions):
        if exemption.scheme not in (None, scheme.name):
            continue
        if any(fnmatchcase(name, pattern) for pattern in exemption.tensors for name in names):
            return exemption
    return None


def _refuse_unsupported(model: onnx.ModelProto) -> None:
    unknown = [node for node in model.graph.node if node.op_type not in SUPPORTED]
    if unknown:
        raise GraphError(
            "The graph holds an operation that can't be quantized",
            expected=", ".join(sorted(SUPPORTED)),
            found=", ".join(f"{node.op_type} {node.name!r}" for node in unknown[:3]),
        )


def _refuse_float(scheme: Scheme, members: list[str]) -> None:
    if scheme.integer_bias:
        raise GraphError(
            f"The recipe keeps {members[0]!r} float, which the {scheme.name} scheme can't",
            expected="a wholly integer graph",
            fix="Remove keep_float from the recipe, or build for a target of the symmetric scheme.",
        )


def _op_type(view: GraphView, name: str) -> str:
    producer = view.producer(name)
    return "" if producer is None else producer.op_type
