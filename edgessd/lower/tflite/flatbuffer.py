"""Build a TFLite model: tensors, buffers, operators, signature, bytes.

The schema's classes come from LiteRT's own package, so they are those of the runtime. Nothing else in
`lower/tflite` uses them. Format: tensorflow/compiler/mlir/lite/schema/schema.fbs, v3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgessd.core.errors import LoweringError
from edgessd.core.tensors import QuantParams
from edgessd.lower.tflite.ir import Activation

FILE_IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3
# Kernels read weights with vector loads and check for 16 (`force_align: 16` of Buffer.data).
BUFFER_ALIGNMENT = 16
# Larger operator codes don't fit the byte that readers before TFLite 2.4 use.
LAST_SMALL_CODE = 127
# Fields whose values are names of an enum of the schema.
_ENUM_FIELDS = {"padding": "Padding", "fusedActivationFunction": "ActivationFunctionType"}
_TENSOR_TYPES = {"float32": "FLOAT32", "int8": "INT8", "uint8": "UINT8", "int32": "INT32"}


@cache
def schema() -> Any:
    """Import TFLite's generated schema classes."""
    try:
        return import_module("ai_edge_litert.schema_py_generated")
    except ImportError as error:
        raise LoweringError(
            "The TFLite schema isn't installed",
            expected="the packages ai-edge-litert and flatbuffers",
            found=str(error),
            fix="pip install 'edgessd[host]'",
        ) from error


class ModelBuilder:
    """Collects one subgraph and serializes it.

    The tensor of an activation is made on its first use. Equal constants share one buffer, and equal
    operator codes one entry.
    """

    def __init__(self) -> None:
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._codes: dict[tuple[int, int, str | None], int] = {}
        # Buffer 0 is empty by convention: every tensor without data points at it.
        self._buffers: list[bytes | None] = [None]
        self._buffer_of: dict[bytes, int] = {}
        self._index_of: dict[str, int] = {}

    def activation(self, activation: Activation, *, name: str | None = None) -> int:
        """Return the index of an activation's int8 tensor; `name` replaces the activation's own name."""
        if activation.name not in self._index_of:
            self._index_of[activation.name] = self.tensor(
                name or activation.name,
                activation.physical_shape,
                "int8",
                activation.params,
            )
        return self._index_of[activation.name]

    def alias(self, activation: Activation, same_as: Activation) -> None:
        """Give the tensor of `same_as` the name of `activation`, for operators that need no work."""
        index = self.activation(same_as)
        self._index_of[activation.name] = index
        self._tensors[index].name = activation.name

    def tensor(
        self, name: str, shape: Sequence[int], dtype: str, quantization: QuantParams | None = None
    ) -> int:
        """Add a tensor that an operator computes or the caller fills; return its index."""
        return self._add_tensor(name, shape, dtype, 0, _per_tensor(quantization))

    def constant(
        self,
        name: str,
        values: NDArray[Any],
        *,
        scales: NDArray[np.float32] | None = None,
        axis: int = 0,
        quantization: QuantParams | None = None,
    ) -> int:
        """Add a constant; return its index.

        Args:
            name: Name of the tensor.
            values: int8, int32 or float32, in TFLite's order of dimensions.
            scales: Per-channel scales along `axis` with zero point 0.
            axis: Dimension that `scales` belongs to.
            quantization: One scale and zero point for all values. Without this and `scales`, the values
                are plain numbers.
        """
        content = np.ascontiguousarray(values).tobytes()
        if content not in self._buffer_of:
            self._buffer_of[content] = len(self._buffers)
            self._buffers.append(content)
        qparams = _per_tensor(quantization)
        if scales is not None:
            qparams = _qparams(scales, [0] * len(scales), axis)
        buffer = self._buffer_of[content]
        return self._add_tensor(name, values.shape, values.dtype.name, buffer, qparams)

    def operator(
        self,
        code: str,
        version: int,
        inputs: Sequence[int],
        outputs: Sequence[int],
        options: tuple[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """Add a builtin operator.

        Args:
            code: Name in the schema, e.g. `CONV_2D`.
            version: Lowest version whose kernels take these types, by TFLite's op_version.cc: old
                runtimes then accept a model if they can run it, and refuse it otherwise.
            inputs: Tensor indices.
            outputs: Tensor indices.
            options: Name of the schema's options table, and its fields; padding and activation by name.
        """
        made = schema().OperatorT()
        made.opcodeIndex = self._code(getattr(schema().BuiltinOperator, code), version, None)
        made.inputs, made.outputs = list(inputs), list(outputs)
        if options is not None:
            table, fields = options
            made.builtinOptionsType = getattr(schema().BuiltinOptions, table)
            made.builtinOptions = _filled(getattr(schema(), f"{table}T")(), fields)
        self._operators.append(made)

    def custom_operator(
        self, name: str, inputs: Sequence[int], outputs: Sequence[int], options: bytes
    ) -> None:
        """Add a custom operator with its attributes as a flexbuffer."""
        made = schema().OperatorT()
        made.opcodeIndex = self._code(schema().BuiltinOperator.CUSTOM, 1, name)
        made.inputs, made.outputs = list(inputs), list(outputs)
        made.customOptions = np.frombuffer(options, np.uint8)
        self._operators.append(made)

    def build(
        self,
        *,
        description: str,
        inputs: Mapping[str, int],
        outputs: Sequence[int],
        signature_outputs: Mapping[str, int],
    ) -> bytes:
        """Serialize the model.

        Args:
            description: Text for people who open the file.
            inputs: Signature name → tensor index, in the subgraph's order.
            outputs: Tensor indices in the subgraph's order.
            signature_outputs: Signature name → tensor index.
        """
        made = schema()
        subgraph = made.SubGraphT()
        subgraph.name = "main"
        subgraph.tensors, subgraph.operators = self._tensors, self._operators
        subgraph.inputs, subgraph.outputs = list(inputs.values()), list(outputs)
        signature = made.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = "serving_default", 0
        signature.inputs = [_tensor_map(*item) for item in inputs.items()]
        signature.outputs = [_tensor_map(*item) for item in signature_outputs.items()]
        model = made.ModelT()
        model.version, model.description = SCHEMA_VERSION, description
        model.operatorCodes = [_operator_code(*key) for key in self._codes]
        model.subgraphs, model.signatureDefs = [subgraph], [signature]
        model.buffers = [_AlignedBuffer(content) for content in self._buffers]
        return _serialize(model, sum(len(content or b"") for content in self._buffers))

    def _add_tensor(
        self, name: str, shape: Sequence[int], dtype: str, buffer: int, qparams: Any
    ) -> int:
        made = schema().TensorT()
        made.name, made.shape, made.buffer = name, [int(side) for side in shape], buffer
        made.type = getattr(schema().TensorType, _TENSOR_TYPES[dtype])
        made.quantization = qparams
        made.hasRank = True
        self._tensors.append(made)
        return len(self._tensors) - 1

    def _code(self, code: int, version: int, custom: str | None) -> int:
        return self._codes.setdefault((code, version, custom), len(self._codes))


class _AlignedBuffer:
    """Buffer table whose data starts at a multiple of 16 bytes.

    The generated BufferT aligns data to 1 byte and packs the bytes one by one.
    """

    def __init__(self, content: bytes | None) -> None:
        self.content = content

    def Pack(self, builder: Any) -> Any:  # noqa: N802 (called by the generated ModelT)
        data = None
        if self.content is not None:
            builder.StartVector(1, len(self.content), BUFFER_ALIGNMENT)
            builder.head -= len(self.content)
            builder.Bytes[builder.head : builder.head + len(self.content)] = self.content
            data = builder.EndVector()
        schema().BufferStart(builder)
        if data is not None:
            schema().BufferAddData(builder, data)
        return schema().BufferEnd(builder)


def _serialize(model: Any, payload: int) -> bytes:
    import flatbuffers

    builder = flatbuffers.Builder(payload + (1 << 20))
    builder.Finish(model.Pack(builder), FILE_IDENTIFIER)
    return bytes(builder.Output())


def _per_tensor(quantization: QuantParams | None) -> Any:
    if quantization is None:
        return None
    return _qparams(np.array([quantization.scale], np.float32), [quantization.zero_point], 0)


def _qparams(scales: NDArray[np.float32], zero_points: Sequence[int], axis: int) -> Any:
    made = schema().QuantizationParametersT()
    made.scale = np.asarray(scales, np.float32)
    made.zeroPoint = np.asarray(zero_points, np.int64)
    made.quantizedDimension = axis
    return made


def _operator_code(code: int, version: int, custom: str | None) -> Any:
    made = schema().OperatorCodeT()
    made.builtinCode, made.version, made.customCode = code, version, custom
    made.deprecatedBuiltinCode = min(code, LAST_SMALL_CODE)
    return made


def _tensor_map(name: str, index: int) -> Any:
    made = schema().TensorMapT()
    made.name, made.tensorIndex = name, index
    return made


def _filled(table: Any, fields: Mapping[str, Any]) -> Any:
    for name, value in fields.items():
        if not hasattr(table, name):
            raise AttributeError(f"{type(table).__name__} has no field {name!r}")
        enum = _ENUM_FIELDS.get(name)
        setattr(table, name, getattr(getattr(schema(), enum), value) if enum else value)
    return table
