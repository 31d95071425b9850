"""Write small Q/DQ graphs, and run them in onnxruntime and LiteRT."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]
Run = Callable[[bytes, Array], dict[str, Array]]


@dataclass
class QdqGraph:
    """Writes Q/DQ graphs in the form of `edgessd.quantize`; all names are names of tensors.

    Each method that adds an operator returns the name of its float output; `qdq` makes it an activation.
    """

    seed: int = 0
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[onnx.TensorProto] = field(default_factory=list)
    inputs: list[onnx.ValueInfoProto] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)
        self.scales: dict[str, float] = {}

    def constant(self, name: str, values: Any) -> str:
        self.initializers.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def image(
        self,
        shape: Sequence[int],
        *,
        scale: float = 1 / 128,
        zero_point: int = 0,
        name: str = "image",
    ) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)))
        return self.qdq(name, scale, zero_point)

    def qdq(
        self, name: str, scale: float, zero_point: int = 0, *, output: str | None = None
    ) -> str:
        """Add a Q/DQ pair on a float tensor."""
        tag, made = f"{name}_{len(self.nodes)}", output or f"{name}_dq{len(self.nodes)}"
        self.constant(f"{tag}_s", np.float32(scale))
        self.constant(f"{tag}_z", np.int8(zero_point))
        qparams = [f"{tag}_s", f"{tag}_z"]
        self.nodes.append(
            helper.make_node("QuantizeLinear", [name, *qparams], [f"{tag}_q"], f"{tag}_Q")
        )
        self.nodes.append(
            helper.make_node("DequantizeLinear", [f"{tag}_q", *qparams], [made], f"{tag}_DQ")
        )
        self.scales[made] = float(np.float32(scale))
        return made

    def op(self, op_type: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        self.nodes.append(
            helper.make_node(op_type, list(inputs), [name], f"{name}_node", **attributes)
        )
        return name

    def weights(
        self, name: str, values: Array, scales: Array, *, zero_point: int = 0, axis: int = 0
    ) -> str:
        """Add an integer initializer with its DequantizeLinear."""
        self.constant(f"{name}_i", values)
        self.constant(f"{name}_s", np.asarray(scales, np.float32))
        self.constant(f"{name}_z", np.full(np.shape(scales), zero_point, values.dtype))
        inputs = [f"{name}_i", f"{name}_s", f"{name}_z"]
        self.nodes.append(
            helper.make_node("DequantizeLinear", inputs, [name], f"{name}_DQ", axis=axis)
        )
        return name

    def conv(
        self,
        source: str,
        name: str,
        shape: tuple[int, int, int, int],
        *,
        clip: str | None = None,
        bias: bool = True,
        **attributes: Any,
    ) -> str:
        """Add a Conv with random weights (out, in / group, height, width), scales and bias."""
        values = self.random.integers(-127, 128, shape).astype(np.int8)
        scales = self.random.uniform(0.5, 2, shape[0]).astype(np.float32) * np.float32(0.01)
        inputs = [source, self.weights(f"{name}_w", values, scales)]
        if bias:
            scale = np.float32(self.scales[source]) * scales
            integers = (self.random.uniform(-1, 1, shape[0]) / scale).astype(np.int32)
            inputs.append(self.weights(f"{name}_b", integers, scale))
        made = self.op("Conv", inputs, name, **attributes)
        return self.activation(made, clip) if clip else made

    def activation(self, source: str, kind: str, low: float = 0.0, high: float = 6.0) -> str:
        """Add a Relu, or a Clip with any bounds."""
        name = f"{source}_act"
        if kind == "Relu":
            return self.op("Relu", [source], name)
        bounds = [
            self.constant(f"{name}_lo", np.float32(low)),
            self.constant(f"{name}_hi", np.float32(high)),
        ]
        return self.op("Clip", [source, *bounds], name)

    def model(self, *outputs: str) -> onnx.ModelProto:
        made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "qdq", self.inputs, made, self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def _litert(resolver: str) -> Run:
    def run(content: bytes, image: Array) -> dict[str, Array]:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        interpreter = Interpreter(
            model_content=content,
            num_threads=1,
            experimental_op_resolver_type=getattr(OpResolverType, resolver),
        )
        interpreter.allocate_tensors()
        (described,) = interpreter.get_input_details()
        interpreter.set_tensor(described["index"], image)
        interpreter.invoke()
        return {
            d["name"]: interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()
        }

    return run


def run_onnx(model: onnx.ModelProto, image: Array) -> dict[str, Array]:
    """Compute the float outputs of a Q/DQ graph without fusing nodes."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Fused kernels round differently; the graph as written is the reference.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: image}), strict=True))


@pytest.fixture
def qdq_graph() -> type[QdqGraph]:
    return QdqGraph


@pytest.fixture
def litert_reference() -> Run:
    """LiteRT's portable reference kernels, without delegate."""
    return _litert("BUILTIN_REF")


@pytest.fixture
def litert_xnnpack() -> Run:
    """LiteRT as users run it: optimized kernels and the XNNPACK delegate."""
    return _litert("BUILTIN")


@pytest.fixture
def assert_parity(litert_reference: Run, litert_xnnpack: Run) -> Callable[..., None]:
    """Lower a Q/DQ graph and compare its outputs with onnxruntime's, on both kinds of kernels."""
    from edgessd.lower.tflite.lower import lower_network

    def check(model: onnx.ModelProto, *, seed: int = 1, within: float = 0.999) -> Any:
        lowered = lower_network(model, input_dtype="int8")
        (image,) = lowered.inputs
        integers = np.random.default_rng(seed).integers(-128, 128, image.shape).astype(np.int8)
        quantization = image.quantization
        assert quantization is not None
        real = (integers.astype(np.float32) - quantization.zero_point) * np.float32(
            quantization.scale
        )
        expected = run_onnx(model, real.transpose(0, 3, 1, 2) if image.layout == "NHWC" else real)
        for run in (litert_reference, litert_xnnpack):
            found = run(lowered.content, integers)
            assert set(found) == set(expected)
            for spec in lowered.outputs:
                want = expected[spec.name]
                if spec.layout == "NHWC":
                    want = want.transpose(0, 2, 3, 1)
                affine = spec.quantization
                assert affine is not None
                want = np.rint(want / np.float32(affine.scale)) + affine.zero_point
                assert found[spec.name].shape == want.shape
                assert found[spec.name].dtype == np.int8
                distance = np.abs(found[spec.name].astype(int) - want)
                assert (distance <= 1).mean() >= within, (spec.name, run, distance.max())
        return lowered

    return check


@pytest.fixture(name="run_onnx", scope="session")
def _run_onnx() -> Callable[[onnx.ModelProto, Array], dict[str, Array]]:
    return run_onnx
