"""The engine inspector's JSON in the forms of all versions."""

from __future__ import annotations

import json

from edgessd.runtime.tensorrt.layer_report import read_layer_report


def layer(name: str, kind: str = "CaskConvolution", **more: object) -> dict[str, object]:
    return {"Name": name, "LayerType": kind, **more}


def test_reads_the_combined_text_of_tensorrt_8_and_10() -> None:
    wide = "Thirty-two wide channel vectorized row major Int8 format"
    text = json.dumps(
        {
            "Layers": [
                layer(
                    "stem",
                    Inputs=[{"Name": "image", "Format/Datatype": "Row major linear FP32"}],
                    Outputs=[{"Name": "a", "Format/Datatype": wide}],
                    Weights={"Type": "Int8", "Count": 432},
                ),
                layer("expand", Inputs=[{"Format/Datatype": wide}], Outputs=[{}]),
                layer("head", Inputs=[{"Format/Datatype": "Row major linear FP16 format"}]),
                layer("exp", "PointWiseV2", Outputs=[{"Format/Datatype": "Row major linear FP32"}]),
                layer("topk", "TopK", Inputs=[{"Format/Datatype": "Row major Int32 format"}]),
            ],
            "Bindings": ["image", "box_codes"],
        }
    )
    report = read_layer_report(text)
    assert report is not None
    assert report.layers == {
        "INT8": ("stem", "expand"),
        "FP16": ("head",),
        "FP32": ("exp",),
        "other": ("topk",),
    }
    assert report.counts == {"INT8": 2, "FP16": 1, "FP32": 1, "other": 1}


def test_reads_the_words_of_tensorrt_11_and_rtx() -> None:
    text = json.dumps(
        {
            "Layers": [
                layer("a", "kgen", Inputs=[{"DataType": "Int8", "Format": "kLINEAR"}]),
                layer("b", "kgen", Inputs=[{"DataType": "Half", "Format": "kLINEAR"}]),
                layer("c", "kgen", Inputs=[{"DataType": "Float", "Format": "kLINEAR"}]),
                layer("d", "kgen", Inputs=[], Outputs=[{"DataType": "BFloat16"}]),
            ],
            "I/O Tensors": [{"Name": "image", "IOMode": "Input", "DataType": "Int8"}],
        }
    )
    report = read_layer_report(text)
    assert report is not None
    assert report.counts == {"INT8": 1, "FP16": 1, "FP32": 1, "other": 1}


def test_layers_of_the_dla_are_counted_separately() -> None:
    text = json.dumps({"Layers": [layer("{ForeignNode[a...b]}", "DLA", Inputs=[{}])]})
    report = read_layer_report(text)
    assert report is not None
    assert report.counts == {"DLA": 1}


def test_an_engine_without_details_has_no_report() -> None:
    assert read_layer_report(json.dumps({"Layers": ["conv1", "conv2"], "Bindings": []})) is None
