"""The convolutions behind an output are found, or the graph is refused."""

from __future__ import annotations

import pytest

from edgessd.core.errors import GraphError
from edgessd.graph.float_graph import FloatGraph
from edgessd.graph.view import GraphView, copy_of
from edgessd.quantize.float_passes.head_convs import head_convs


def test_a_head_with_another_reader_is_refused(small_graph: FloatGraph) -> None:
    model = copy_of(small_graph.model)
    (head, *_) = head_convs(GraphView(model), "box_codes")
    model.graph.output.add().CopyFrom(
        next(value for value in model.graph.value_info if value.name == head.output[0])
    )
    with pytest.raises(GraphError, match="another reader"):
        head_convs(GraphView(model), "box_codes")
