"""What every lowering takes and gives: a quantized graph in, the bytes of an engine out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from edgessd.core.tensors import TensorSpec

if TYPE_CHECKING:
    from edgessd.quantize.quant_graph import QuantGraph

InputDType = Literal["uint8", "int8"]
Postprocess = Literal["raw", "op"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LoweringOptions:
    """How the engine meets the outside world.

    Attributes:
        input_dtype: `int8` takes pixel - 128, one flipped bit. `uint8` takes pixels as a camera gives
            them and costs a QUANTIZE, which no delegate runs: 0.2 ms for 300x300 pixels.
        postprocess: `raw` ends in the quantized tensors `box_codes` and `class_scores`; `op` ends in
            the format's own detection op, which decodes and suppresses inside the engine.
        column_pairs: Let the first convolution read two pixels as one of twice the channels. The
            results are the same to the bit; x86 kernels work on 8 channels at a time and waste
            fewer of them (the whole detector gains about 3%), Arm kernels would lose about 1%.
    """

    input_dtype: InputDType = "int8"
    postprocess: Postprocess = "raw"
    column_pairs: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class LoweredModel:
    """An engine file's content with the description of its tensors, in the engine's order."""

    content: bytes
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class Lowering(Protocol):
    """One engine format."""

    def lower(self, graph: QuantGraph, options: LoweringOptions) -> LoweredModel:
        """Turn `graph` into an engine.

        Raises:
            LoweringError: The format can't express the graph; the message names the node, its op
                and why.
        """
        ...
