"""`QuantGraph`: the quantized form of a detector, and its file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import onnx

from edgessd.bundle.manifest import CalibrationRecord
from edgessd.core.contract import Contract
from edgessd.core.errors import GraphError
from edgessd.core.onnx_metadata import CONTRACT_KEY, QUANTIZATION_KEY
from edgessd.graph.float_graph import contract_in, read_model, write_model
from edgessd.quantize.recipe import Recipe, with_current_keys
from edgessd.quantize.schemes import SchemeName


class Quantization(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Record of a quantization in the metadata of a Q/DQ file.

    Attributes:
        scheme: Scheme of the graph.
        recipe: Recipe that it was quantized with.
        calibration: Record of the calibration images.
        graph_sha256: `FloatGraph.sha256` of the graph that was calibrated.
    """

    scheme: SchemeName
    recipe: Recipe
    calibration: CalibrationRecord
    graph_sha256: str


@dataclass(frozen=True, kw_only=True)
class QuantGraph:
    """A detector as ONNX with QuantizeLinear and DequantizeLinear nodes, which onnxruntime can run.

    Attributes:
        model: Model with input `image` (1, 3, H, W) float32, always (pixel - 128) / 128, and outputs
            `box_codes` and `class_scores` float32.
        contract: Contract of the model.
        quantization: Record of scheme, recipe and calibration.
    """

    model: onnx.ModelProto
    contract: Contract
    quantization: Quantization

    @property
    def scheme(self) -> SchemeName:
        return self.quantization.scheme

    @property
    def recipe(self) -> Recipe:
        return self.quantization.recipe

    @cached_property
    def sha256(self) -> str:
        """Hex sha256 of the nodes, integers and scales, without metadata."""
        return hashlib.sha256(self.model.graph.SerializeToString(deterministic=True)).hexdigest()


def save_quant_graph(graph: QuantGraph, path: Path) -> None:
    """Write an .onnx, whole or not at all, with contract and quantization as JSON in its metadata."""
    write_model(graph.model, path, quant_metadata(graph))


def quant_metadata(graph: QuantGraph) -> dict[str, str]:
    """Return the metadata properties of a quantized graph's file."""
    return {
        CONTRACT_KEY: msgspec.json.encode(graph.contract).decode(),
        QUANTIZATION_KEY: msgspec.json.encode(graph.quantization).decode(),
    }


def load_quant_graph(path: Path) -> QuantGraph:
    """Read a file that `save_quant_graph` wrote.

    Raises:
        GraphError: The file isn't ONNX, or edgessd didn't quantize it.
    """
    model, metadata = read_model(path)
    contract = contract_in(metadata, path)
    try:
        stated = msgspec.json.decode(metadata[QUANTIZATION_KEY], type=dict[str, Any])
        recipe = with_current_keys(stated.get("recipe", {}))
        quantization = msgspec.convert({**stated, "recipe": recipe}, type=Quantization)
    except KeyError as error:
        raise GraphError(
            f"{path} is a float graph", expected="a graph quantized by edgessd"
        ) from error
    except msgspec.MsgspecError as error:
        raise GraphError(f"The metadata of {path} can't be read", found=str(error)) from error
    return QuantGraph(model=model, contract=contract, quantization=quantization)
