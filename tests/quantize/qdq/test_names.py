"""Names of the Q/DQ protocol."""

from __future__ import annotations

from onnx import helper

from edgessd.quantize.qdq import names


def test_a_pair_leads_back_to_its_tensor_and_parameters() -> None:
    pair = ["t", names.scale("p"), names.zero_point("p")]
    node = helper.make_node("QuantizeLinear", pair, [names.quantized("t")], names.quantizer("t"))
    assert (names.float_tensor(node), names.stored_name(node)) == ("t", "p")
    assert names.float_name(names.dequantized("t")) == "t"


def test_a_graph_output_leads_back_to_its_own_name() -> None:
    node = helper.make_node("QuantizeLinear", [names.real("out"), "p.scale", "p.zero_point"], ["q"])
    assert names.float_tensor(node) == "out"
    assert names.float_name("out") == "out"


def test_the_names_in_files_stay() -> None:
    """Bundles of earlier versions are read by these names."""
    assert [
        make("t")
        for make in (
            names.scale,
            names.zero_point,
            names.quantized,
            names.dequantized,
            names.real,
            names.quantizer,
            names.dequantizer,
        )
    ] == ["t.scale", "t.zero_point", "t.quantized", "t.dequantized", "t.real", "t.q", "t.dq"]
