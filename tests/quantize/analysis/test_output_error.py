"""Output errors of made-up outputs, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from edgessd.core.contract import Contract, Scoring
from edgessd.graph.float_graph import FloatGraph
from edgessd.quantize.analysis.output_error import Outputs, output_error, relevant_anchors


@pytest.fixture(scope="module")
def contract(small_graph: FloatGraph) -> Contract:
    return replace(small_graph.contract, scoring=Scoring(activation="sigmoid", background=False))


def outputs(contract: Contract, logit: float, tx: float = 0.0) -> Outputs:
    """Return outputs whose only object is the first label of anchor 3."""
    count = contract.anchors.count
    codes = np.zeros((1, count, 4), np.float32)
    scores = np.full((1, count, len(contract.labels)), -20.0, np.float32)
    codes[0, 3, 0], scores[0, 3, 0] = tx, logit
    return codes, scores


def test_anchors_count_by_their_best_score(contract: Contract) -> None:
    # The sigmoid of -3 is 0.047, that of -2.9 is 0.052.
    assert not relevant_anchors(outputs(contract, -3.0)[1], contract).any()
    assert np.flatnonzero(relevant_anchors(outputs(contract, -2.9)[1], contract)).tolist() == [3]


def test_equal_outputs_have_no_error(contract: Contract) -> None:
    same = outputs(contract, 1.0)
    found = output_error([same], [same], [relevant_anchors(same[1], contract)], contract)
    assert (found.score, found.code) == (0.0, 0.0)
    assert found.box == pytest.approx(0.0, abs=1e-6)


def test_errors_are_means_over_the_relevant_anchors(contract: Contract) -> None:
    expected, found = outputs(contract, 0.0), outputs(contract, 2.0, tx=0.5)
    mask = relevant_anchors(expected[1], contract)
    error = output_error([expected], [found], [mask], contract)
    difference = 1 / (1 + np.exp(-2.0)) - 0.5
    assert error.score == pytest.approx(difference**2 / len(contract.labels), rel=1e-4)
    assert error.code == pytest.approx(0.5**2 / 4)
    # A box of width w that moves by d = 0.5 * centre_variance * w overlaps by (w - d) / (w + d).
    step = 0.5 * contract.box_code.centre_variance
    lost = 1 - (1 - step) / (1 + step)
    assert error.box == pytest.approx(lost, rel=1e-3)
    assert error.box_power == pytest.approx(lost**2, rel=1e-3)
