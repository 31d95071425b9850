"""Write 0 into a column of scores that is never read.

With sigmoid scoring each label has its own column, so the background column has no meaning. Still it holds
the largest values: most anchors see background, and the network is sure of it. The scale that all columns
share would have to reach these values. Zero weights make the column 0.
"""

from __future__ import annotations

import numpy as np

from edgessd.core.network_tensors import CLASS_SCORES
from edgessd.graph.view import GraphView, copy_of, set_initializer
from edgessd.quantize.float_passes.head_convs import head_convs
from edgessd.quantize.float_passes.observed_graph import ObservedGraph


def silence_background(observed: ObservedGraph) -> ObservedGraph:
    """Zero the weights and biases behind column 0 of sigmoid scores that have a background.

    A graph without background, or with a softmax, which reads every column, stays as it is.

    Raises:
        GraphError: Another operation than head convolutions computes the scores.
    """
    graph, scoring = observed.graph, observed.graph.contract.scoring
    if scoring.activation != "sigmoid" or not scoring.background:
        return observed
    model, view = copy_of(graph.model), GraphView(graph.model)
    for conv in head_convs(view, CLASS_SCORES):
        for name in conv.input[1:]:
            values = np.array(view.constant(name))
            values[:: graph.contract.columns] = 0
            set_initializer(model, name, values)
    return observed.rewritten(model, by="silence_background")
