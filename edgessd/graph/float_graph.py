"""`FloatGraph`: a detector as float32 ONNX, and its file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec
import onnx

from edgessd.core.contract import Contract
from edgessd.core.errors import ConfigError, GraphError
from edgessd.core.files import replacing
from edgessd.core.network_tensors import image_spec, output_specs
from edgessd.core.onnx_metadata import CONTRACT_KEY, RANGES_KEY
from edgessd.core.tensors import EngineTensors
from edgessd.model.trained_ranges import TrainedRanges


@dataclass(frozen=True, kw_only=True)
class FloatGraph:
    """A detector as float32 ONNX: batch 1, every shape static, batch norm folded.

    Attributes:
        model: Model with input `image` (1, 3, H, W) float32, normalized by `contract.preprocess`, and raw
            outputs `box_codes` (1, N, 4) and `class_scores` (1, N, C).
        contract: Preprocessing, anchors, box code, scoring and labels.
        trained_ranges: Ranges of a checkpoint from quantization-aware training, which such a graph is
            quantized with. A graph that a pass rewrote has none.
    """

    model: onnx.ModelProto
    contract: Contract
    trained_ranges: TrainedRanges | None = None

    @cached_property
    def sha256(self) -> str:
        """Hex sha256 of the nodes, weights and shapes, without metadata; the key of calibration tables."""
        return hashlib.sha256(self.model.graph.SerializeToString(deterministic=True)).hexdigest()


def save_graph(graph: FloatGraph, path: Path) -> None:
    """Write an .onnx, whole or not at all, with the contract as JSON in its metadata."""
    write_model(graph.model, path, float_metadata(graph))


def float_metadata(graph: FloatGraph) -> dict[str, str]:
    """Return the metadata properties of a float graph's file."""
    metadata = {CONTRACT_KEY: msgspec.json.encode(graph.contract).decode()}
    if graph.trained_ranges is not None:
        metadata[RANGES_KEY] = msgspec.json.encode(graph.trained_ranges).decode()
    return metadata


def float_tensors(contract: Contract) -> EngineTensors:
    """Describe the input and outputs of a contract's float graph."""
    return EngineTensors(inputs=(image_spec(contract.preprocess),), outputs=output_specs(contract))


def load_graph(path: Path) -> FloatGraph:
    """Read a file that `save_graph` wrote.

    Raises:
        GraphError: The file isn't ONNX, or has no contract.
    """
    model, metadata = read_model(path)
    return FloatGraph(
        model=model,
        contract=contract_in(metadata, path),
        trained_ranges=_ranges_in(metadata, path),
    )


def write_model(model: onnx.ModelProto, path: Path, metadata: dict[str, str]) -> None:
    """Write the bytes of `model_content`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(model_content(model, metadata))


def model_content(model: onnx.ModelProto, metadata: dict[str, str]) -> bytes:
    """Return the bytes of an .onnx whose metadata properties are exactly `metadata`."""
    stamped = onnx.ModelProto()
    stamped.CopyFrom(model)
    del stamped.metadata_props[:]
    for key in sorted(metadata):
        stamped.metadata_props.add(key=key, value=metadata[key])
    content: bytes = stamped.SerializeToString(deterministic=True)
    return content


def read_model(path: Path) -> tuple[onnx.ModelProto, dict[str, str]]:
    """Read an ONNX file; return the model without its metadata properties, and these."""
    if not path.is_file():
        raise GraphError(f"There is no graph at {path}", expected="an .onnx file")
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf's exceptions have no public base class
        raise GraphError(
            f"{path} can't be read as ONNX", expected="an .onnx file", found=str(error)
        ) from error
    if not model.graph.node:
        raise GraphError(f"{path} holds no graph", expected="an .onnx file with nodes")
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    del model.metadata_props[:]
    return model, metadata


def contract_in(metadata: dict[str, str], path: Path) -> Contract:
    """Read the contract from a graph file's metadata."""
    try:
        return msgspec.json.decode(metadata[CONTRACT_KEY], type=Contract)
    except KeyError as error:
        raise GraphError(
            f"{path} has no contract, which describes its input and outputs",
            expected=f"{CONTRACT_KEY!r} in its metadata",
            found=", ".join(sorted(metadata)) or "no metadata",
            fix="Export it from its checkpoint with edgessd.",
        ) from error
    except msgspec.MsgspecError as error:
        raise GraphError(f"The contract in {path} can't be read", found=str(error)) from error


def _ranges_in(metadata: dict[str, str], path: Path) -> TrainedRanges | None:
    if RANGES_KEY not in metadata:
        return None
    try:
        return msgspec.json.decode(metadata[RANGES_KEY], type=TrainedRanges)
    except (msgspec.MsgspecError, ConfigError) as error:
        raise GraphError(f"The trained ranges in {path} can't be read", found=str(error)) from error
