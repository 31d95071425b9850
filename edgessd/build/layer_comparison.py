"""Compare the inner tensors of two forms of one network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgessd.bundle.manifest import MANIFEST_NAME
from edgessd.bundle.store import open_bundle
from edgessd.calibrate.calibration_set import evenly
from edgessd.core.contract import Contract
from edgessd.core.errors import DataError, GraphError
from edgessd.core.images import read_image
from edgessd.core.network_tensors import INPUT, image_spec
from edgessd.core.preprocess import preprocess_image
from edgessd.graph.dataflow import observed_tensors
from edgessd.graph.export import export_float_graph
from edgessd.graph.float_graph import contract_in, read_model
from edgessd.graph.verify import make_session
from edgessd.graph.view import GraphView, copy_of
from edgessd.metrics.signal import SignalToNoise, channel_count
from edgessd.model.checkpoint import load_checkpoint
from edgessd.quantize.ptq import IMAGE_PARAMS
from edgessd.quantize.qdq.names import float_name
from edgessd.runtime.tflite_probe import LiteRtProbe

Values = dict[str, NDArray[Any]]

DIVERGED_DB = 20.0
"""Signal-to-noise ratio of a tensor whose noise has a hundredth of its power. Tensors of int8 networks stay
above it nearly up to the outputs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerProbe:
    """A network whose inner tensors can be read.

    Attributes:
        tensors: Names of the exported float graph, in the order of the computation.
        run: Function from a BGR image to real values by name; feature maps are (1, C, H, W).
    """

    tensors: tuple[str, ...]
    run: Callable[[NDArray[np.uint8]], Values]


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerSignal:
    """Signal-to-noise ratio of one tensor against the reference's, in dB."""

    tensor: str
    sqnr_db: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Divergence:
    """Signal-to-noise ratios of the tensors that two networks have in common.

    Attributes:
        layers: One entry per tensor, in the order of the computation.
        images: Number of images measured.
    """

    layers: tuple[LayerSignal, ...]
    images: int

    @property
    def first(self) -> LayerSignal | None:
        """First tensor below `DIVERGED_DB`; None if there is none."""
        return next((layer for layer in self.layers if layer.sqnr_db < DIVERGED_DB), None)

    def as_json(self) -> dict[str, Any]:
        """Return the numbers as plain values."""
        first = self.first
        return {
            "first": None if first is None else first.tensor,
            "below_db": DIVERGED_DB,
            "images": self.images,
            "layers": {layer.tensor: round(layer.sqnr_db, 2) for layer in self.layers},
        }


def measure_divergence(
    reference: LayerProbe, found: LayerProbe, images: Sequence[NDArray[np.uint8]]
) -> Divergence:
    """Run two networks on BGR images and compare the tensors that both have.

    Raises:
        GraphError: They have no tensor in common but the input.
    """
    both = [name for name in reference.tensors if name in set(found.tensors) and name != INPUT]
    if not both:
        raise GraphError(
            "The two networks can't be compared layer by layer",
            expected="forms of one exported graph, whose tensors have the same names",
            found=f"{', '.join(reference.tensors[:3])} … against {', '.join(found.tensors[:3])} …",
        )
    signals: dict[str, SignalToNoise] = {}
    for image in images:
        first, second = reference.run(image), found.run(image)
        for name in both:
            if first[name].shape != second[name].shape:
                continue  # the engine has another layout, for example pairs of columns
            if name not in signals:
                signals[name] = SignalToNoise.over(channel_count(first[name].shape))
            signals[name].add(first[name], second[name])
    return Divergence(
        layers=tuple(
            LayerSignal(tensor=name, sqnr_db=signal.decibels) for name, signal in signals.items()
        ),
        images=len(images),
    )


def readable_images(
    paths: Sequence[Path],
    count: int,
    read: Callable[[Path], NDArray[np.uint8]] = read_image,
) -> list[NDArray[np.uint8]]:
    """Return up to `count` BGR images, spread evenly over all that can be read."""
    images: list[NDArray[np.uint8]] = []
    for path in dict.fromkeys((*evenly(paths, count), *paths)):
        if len(images) == count:
            break
        try:
            images.append(read(path))
        except DataError:
            continue  # the caller names the images that can't be read
    return images


def open_layer_probe(path: Path) -> LayerProbe:
    """Open a checkpoint, an edgessd .onnx or a bundle so that its inner tensors can be read.

    A TensorRT bundle is represented by the graph that it is compiled from. A .tflite runs on LiteRT's own
    kernels, since XNNPACK keeps no inner tensors.

    Raises:
        GraphError: The file is none of these, for example a foreign .tflite.
    """
    if (path / "best.pt").is_file() and not (path / MANIFEST_NAME).is_file():
        path = path / "best.pt"
    if path.suffix in (".pt", ".pth"):
        graph = export_float_graph(load_checkpoint(path))
        return probe_graph(graph.model, graph.contract)
    if path.suffix == ".onnx":
        model, metadata = read_model(path)
        return probe_graph(model, contract_in(metadata, path))
    if not path.is_dir() and path.name != MANIFEST_NAME:
        raise GraphError(
            f"{path} can't be compared layer by layer",
            expected="a checkpoint, an edgessd .onnx or a bundle",
        )
    bundle = open_bundle(path.parent if path.name == MANIFEST_NAME else path)
    manifest = bundle.manifest
    if manifest.engine.format == "tflite":
        return _probe_tflite(bundle.engine_path, manifest.contract)
    file = manifest.finish.weakly_typed.file if manifest.finish else manifest.engine.file
    model, _ = read_model(bundle.directory / file)
    return probe_graph(model, manifest.contract)


def probe_graph(model: onnx.ModelProto, contract: Contract) -> LayerProbe:
    """Make a probe of a float or Q/DQ graph, which onnxruntime runs."""
    view = GraphView(model)
    quantized = any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    wanted = _dequantized(view, model) if quantized else {n: n for n in observed_tensors(model)}
    wanted = {name: tensor for name, tensor in wanted.items() if tensor not in view.inputs}
    probed = copy_of(model)
    del probed.graph.output[:]
    probed.graph.output.extend(
        helper.make_tensor_value_info(tensor, TensorProto.FLOAT, None) for tensor in wanted.values()
    )
    session = make_session(probed, threads=1)
    image_type = model.graph.input[0].type.tensor_type.elem_type
    spec = (
        image_spec(contract.preprocess, dtype="int8", quantization=IMAGE_PARAMS)
        if image_type == TensorProto.INT8
        else image_spec(contract.preprocess)
    )

    def run(image: NDArray[np.uint8]) -> Values:
        tensor, _ = preprocess_image(image, contract.preprocess, spec)
        values = session.run(list(wanted.values()), {model.graph.input[0].name: tensor})
        return dict(zip(wanted, values, strict=True))

    return LayerProbe(tensors=tuple(wanted), run=run)


def _dequantized(view: GraphView, model: onnx.ModelProto) -> dict[str, str]:
    """Map names of the float graph to the tensors with their dequantized values."""
    found = {}
    for node in model.graph.node:
        if node.op_type != "DequantizeLinear" or view.is_constant(node.input[0]):
            continue
        found[float_name(node.output[0])] = node.output[0]
    for value in model.graph.output:  # outputs that the recipe keeps float
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            found.setdefault(value.name, value.name)
    return found


def _probe_tflite(engine: Path, contract: Contract) -> LayerProbe:
    trace = LiteRtProbe(engine)

    def run(image: NDArray[np.uint8]) -> Values:
        tensor, _ = preprocess_image(image, contract.preprocess, trace.input)
        values = trace.run(tensor)
        return {
            name: value.transpose(0, 3, 1, 2) if value.ndim == 4 else value
            for name, value in values.items()
        }

    return LayerProbe(tensors=trace.tensors, run=run)
