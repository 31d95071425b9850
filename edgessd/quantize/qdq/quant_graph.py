"""`QuantGraph`: the one quantized form, and its file."""

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
    """What a Q/DQ file says about itself.

    Attributes:
        scheme: Of the graph.
        recipe: That chose the ranges.
        calibration: The images behind them.
        graph_sha256: `FloatGraph.sha256` of the graph that was quantized.
    """

    scheme: SchemeName
    recipe: Recipe
    calibration: CalibrationRecord
    graph_sha256: str


@dataclass(frozen=True, kw_only=True)
class QuantGraph:
    """A detector as ONNX with QuantizeLinear and DequantizeLinear, which onnxruntime runs as it is.

    Attributes:
        model: Input `image` (1, 3, H, W) float32 as `contract.preprocess` says, which is always
            (pixel - 128) / 128; outputs `box_codes` and `class_scores` float32.
        contract: Of the float graph, with the preprocessing that the network absorbed replaced.
        quantization: Scheme, recipe and calibration.
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
        """Of nodes, integers and scales, without metadata."""
        return hashlib.sha256(self.model.graph.SerializeToString(deterministic=True)).hexdigest()


def save_quant_graph(graph: QuantGraph, path: Path) -> None:
    """Write `.onnx` with contract and quantization as JSON in its metadata, whole or not at all."""
    write_model(graph.model, path, quant_metadata(graph))


def quant_metadata(graph: QuantGraph) -> dict[str, str]:
    """What the file of a quantized graph carries besides the graph."""
    return {
        CONTRACT_KEY: msgspec.json.encode(graph.contract).decode(),
        QUANTIZATION_KEY: msgspec.json.encode(graph.quantization).decode(),
    }


def load_quant_graph(path: Path) -> QuantGraph:
    """Read what `save_quant_graph` wrote.

    Raises:
        GraphError: The file isn't ONNX, or isn't quantized by edgessd.
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
