"""Export a checkpoint as a `FloatGraph`: trace, simplify, rewrite, and compare the outputs."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from edgessd.core.contract import Contract
from edgessd.core.errors import GraphError
from edgessd.core.network_tensors import INPUT, OUTPUTS, output_shapes
from edgessd.graph.float_graph import FloatGraph, load_graph, save_graph
from edgessd.graph.passes.constants_to_initializers import constants_to_initializers
from edgessd.graph.passes.fuse_pad import fuse_pad
from edgessd.graph.passes.own_parameters import own_parameters
from edgessd.graph.passes.readable_names import readable_names
from edgessd.graph.passes.static_reshape import static_reshape
from edgessd.graph.verify import check_parity, checked, run_model

if TYPE_CHECKING:
    import torch

    from edgessd.model.checkpoint import Checkpoint

__all__ = ["FloatGraph", "export_float_graph", "export_module", "load_graph", "save_graph"]

OPSET = 17

# Order matters: names come before the passes that name parameters after their node.
PASSES: tuple[Callable[[onnx.ModelProto], onnx.ModelProto], ...] = (
    constants_to_initializers,
    fuse_pad,
    readable_names,
    own_parameters,
    static_reshape,
)


def export_float_graph(checkpoint: Checkpoint) -> FloatGraph:
    """Export the float32 graph of a checkpoint.

    Raises:
        GraphError: The graph is malformed, or its outputs differ from the model's by more than
            `verify.TOLERANCE` on inputs other than the traced one.
    """
    from edgessd.model.checkpoint import load_model

    graph = export_module(load_model(checkpoint), checkpoint.contract)
    return replace(graph, trained_ranges=checkpoint.trained_ranges)


def export_module(module: torch.nn.Module, contract: Contract) -> FloatGraph:
    """Export the float32 graph of a module with the outputs of `SsdLite`, in evaluation mode."""
    from edgessd.model.batch_norm import fold_batch_norm

    module = module.eval()
    shape = (1, 3, contract.preprocess.height, contract.preprocess.width)
    model = checked(_simplified(_traced(fold_batch_norm(module), shape)), after="simplification")
    for graph_pass in PASSES:
        model = checked(graph_pass(model), after=graph_pass.__name__)
    _check_outputs(model, contract)
    _check_against(module, model, shape)
    return FloatGraph(model=model, contract=contract)


def _traced(module: torch.nn.Module, shape: tuple[int, ...]) -> onnx.ModelProto:
    import torch

    buffer: Any = io.BytesIO()  # torch's annotation only knows paths
    example = torch.from_numpy(_noise(shape, seed=0))
    # The tracing exporter needs no other package, and it is exact: the model has one static shape and no
    # control flow.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (example,),
            buffer,
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
        )
    return onnx.load_from_string(buffer.getvalue())


def _simplified(model: onnx.ModelProto) -> onnx.ModelProto:
    import onnxsim

    simplified: onnx.ModelProto
    simplified, agrees = onnxsim.simplify(model)
    if not agrees:
        raise GraphError("onnxsim's own check found that it changed the graph's outputs")
    return simplified


def _check_outputs(model: onnx.ModelProto, contract: Contract) -> None:
    expected = output_shapes(contract)
    found = {
        output.name: tuple(dim.dim_value for dim in output.type.tensor_type.shape.dim)
        for output in model.graph.output
    }
    if found != expected:
        raise GraphError(
            "The network's outputs don't fit its contract", expected=str(expected), found=str(found)
        )


def _check_against(module: torch.nn.Module, model: onnx.ModelProto, shape: tuple[int, ...]) -> None:
    """Compare with the module on images other than the traced one: noise, and an image as smooth as a photo.

    A constant image isn't a fair test. A channel that training left dead has hardly any variance, so its
    folded weights are huge, and without texture its output is nothing but their rounding error.
    """
    import torch

    for image in (_noise(shape, seed=1), _smooth(shape, seed=2)):
        with torch.no_grad():
            outputs = module(torch.from_numpy(image))
        expected = {name: output.numpy() for name, output in zip(OUTPUTS, outputs, strict=True)}
        check_parity(expected, run_model(model, {INPUT: image}), what="The exported graph")


def _noise(shape: tuple[int, ...], *, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def _smooth(shape: tuple[int, ...], *, seed: int) -> np.ndarray:
    """Return coarse noise, enlarged to `shape`, with a little grain."""
    import cv2

    _, _, height, width = shape
    coarse = np.random.default_rng(seed).uniform(-1, 1, (9, 9, 3)).astype(np.float32)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    grain = _noise((height, width, 3), seed=seed) * 0.03
    pixels: np.ndarray = np.clip(image + grain, -1, 1).transpose(2, 0, 1)[None]
    return pixels.astype(np.float32)
