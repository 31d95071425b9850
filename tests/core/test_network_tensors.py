"""The network's tensors of a contract: names, shapes and layouts."""

from __future__ import annotations

from edgessd.bundle.verify import read_manifest
from edgessd.core.network_tensors import image_spec, output_shapes, output_specs
from edgessd.core.tensors import QuantParams
from edgessd.runtime.starter import starter_bundle


def test_specs_are_those_of_the_starter_engine_but_for_layout_and_dtype() -> None:
    manifest = read_manifest(starter_bundle())
    contract, engine = manifest.contract, manifest.engine
    assert {spec.name: spec.shape for spec in engine.outputs} == output_shapes(contract)
    image = image_spec(contract.preprocess)
    assert image.name == engine.inputs[0].name
    batch, height, width, channels = engine.inputs[0].shape
    assert (image.shape, image.layout) == ((batch, channels, height, width), "NCHW")
    assert [spec.name for spec in output_specs(contract)] == ["box_codes", "class_scores"]


def test_an_integer_image_carries_its_scale() -> None:
    preprocess = read_manifest(starter_bundle()).contract.preprocess
    spec = image_spec(preprocess, dtype="int8", quantization=QuantParams(scale=1 / 128))
    assert (spec.dtype, spec.quantization) == ("int8", QuantParams(scale=1 / 128))
