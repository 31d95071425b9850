"""Nodes and tensors named after modules."""

from __future__ import annotations

import numpy as np
from onnx_text import model_from

from edgessd.graph.passes.readable_names import readable_names
from edgessd.graph.verify import run_model


def test_nodes_are_named_after_the_modules_whose_parameters_they_use() -> None:
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(2, 2, 1, 1)).astype(np.float32) for _ in range(2)]
    model = model_from(
        """
        g (float[1,2,4,4] image) => (float[1,2,4,4] out) {
          ["/Conv_3"] c3 = Conv<kernel_shape = [1, 1]>(image, "net.1.expand.conv.weight")
          ["/Relu"] r = Relu(c3)
          ["/Conv_4"] c4 = Conv<kernel_shape = [1, 1]>(r, "net.1.project.conv.weight")
          ["/Add"] s = Add(c3, c4)
          ["/Relu_1"] out = Relu(s)
        }
        """,
        **{
            f"net.1.{name}.conv.weight": weight
            for name, weight in zip(("expand", "project"), weights, strict=True)
        },
    )
    named = readable_names(model)
    assert [node.name for node in named.graph.node] == [
        "net.1.expand.conv",
        "net.1.expand.activation",
        "net.1.project.conv",
        "net.1.add",
        "net.1.activation",
    ]
    assert [node.output[0] for node in named.graph.node][:4] == [
        node.name for node in named.graph.node
    ][:4]
    assert named.graph.output[0].name == "out"
    image = rng.normal(size=(1, 2, 4, 4)).astype(np.float32)
    np.testing.assert_array_equal(
        run_model(named, {"image": image})["out"], run_model(model, {"image": image})["out"]
    )
