"""Saturation counts the values beyond a range, by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from edgessd.calibrate.table import CalibrationTable
from edgessd.core.tensors import QuantParams
from edgessd.graph.float_graph import FloatGraph
from edgessd.quantize.analysis.saturation import saturation
from edgessd.quantize.qdq.insert import insert_qdq

TENSOR = "backbone.blocks.3.project.conv"


def shares(
    graph: FloatGraph, table: CalibrationTable, activations: Mapping[str, tuple[str, QuantParams]]
) -> dict[str, float]:
    return saturation(insert_qdq(graph.model, activations, {}), table)


def test_share_beyond_the_last_integers(small_graph: FloatGraph, table: CalibrationTable) -> None:
    statistics = table[TENSOR]
    widest = max(-statistics.minimum, statistics.maximum) / 127
    everything = shares(small_graph, table, {TENSOR: (TENSOR, QuantParams(scale=widest))})
    assert everything == {TENSOR: 0.0}
    narrow = QuantParams(scale=widest / 8)
    edges, counts = statistics.edges, statistics.counts
    limits = -128.5 * narrow.scale, 127.5 * narrow.scale
    outside = counts[(edges[1:] <= limits[0]) | (edges[:-1] >= limits[1])].sum()
    assert 0 < outside < counts.sum()
    found = shares(small_graph, table, {TENSOR: (TENSOR, narrow)})
    assert found[TENSOR] == pytest.approx(outside / counts.sum())


def test_class_scores_and_unknown_tensors_are_left_out(
    small_graph: FloatGraph, table: CalibrationTable
) -> None:
    params = QuantParams(scale=2.0**-20)
    activations = {name: (name, params) for name in ("class_scores", "box_codes", TENSOR)}
    known = {name: entry for name, entry in table.tensors.items() if name != TENSOR}
    found = shares(small_graph, replace(table, tensors=known), activations)
    assert list(found) == ["box_codes"]
    assert found["box_codes"] > 0.9
