"""Lower Pad to PAD, or to PADV2 if the fill isn't real zero; add the padding that SAME can't express."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgessd.lower.tflite.flatbuffer import ModelBuilder
from edgessd.lower.tflite.ir import INT8_MAX, INT8_MIN, Activation, QuantNode

Pads = Sequence[tuple[int, int]]


def lower(node: QuantNode, builder: ModelBuilder) -> None:
    """Lower constant padding of any dimensions."""
    mode = node.attributes.get("mode", b"constant").decode()
    if mode != "constant":
        node.refuse(f"its mode is {mode!r}", expected="constant")
    if node.clamp is not None:
        node.refuse("an activation function follows it, which PAD can't fuse")
    source = node.activation()
    node.require_same_qparams(source)
    pads = _read_pads(node, source)
    add_pad_operator(builder, source, builder.activation(node.output), node.name, pads, _fill(node))


def padded_image(
    node: QuantNode,
    builder: ModelBuilder,
    pads: tuple[tuple[int, int], tuple[int, int]] | None,
    fill: int | None = None,
) -> int:
    """Pad a node's image, and return the index of the result.

    Args:
        node: Node whose input 0 is padded.
        builder: Builder of the model.
        pads: (top, bottom) and (left, right) in pixels; None for no padding.
        fill: Integer to pad with; None for the zero point, which is real zero.
    """
    image = node.image()
    if pads is None:
        return builder.activation(image)
    batch, height, width, channels = image.physical_shape
    shape = (batch, height + sum(pads[0]), width + sum(pads[1]), channels)
    name = f"{node.name}/padded"
    padded = builder.tensor(name, shape, "int8", image.params)
    add_pad_operator(builder, image, padded, name, [(0, 0), *pads, (0, 0)], fill)
    return padded


def add_pad_operator(
    builder: ModelBuilder, source: Activation, output: int, name: str, pads: Pads, fill: int | None
) -> None:
    """Add PAD or PADV2 with `pads` (before, after) in memory order."""
    paddings = builder.constant(f"{name}/paddings", np.asarray(pads, np.int32))
    inputs = [builder.activation(source), paddings]
    if fill is None or fill == source.params.zero_point:
        builder.operator("PAD", 2, inputs, [output], ("PadOptions", {}))
        return
    value = builder.constant(f"{name}/fill", np.array([fill], np.int8), quantization=source.params)
    builder.operator("PADV2", 2, [*inputs, value], [output], ("PadV2Options", {}))


def _read_pads(node: QuantNode, source: Activation) -> Pads:
    """Read (before, after) of each dimension, in memory order."""
    given, axes = node.constant(1), node.constant(3)
    if given is None:
        node.refuse("its padding isn't an input", expected="opset 11 or later")
    rank = len(source.shape)
    numbers = [int(number) for number in given.values]
    if min(numbers) < 0:
        node.refuse(f"negative padding {numbers} crops its input", expected="pads >= 0")
    padded = range(rank) if axes is None else [int(axis) for axis in axes.values]
    pads = [(0, 0)] * rank
    for position, axis in enumerate(padded):
        before, after = numbers[position], numbers[position + len(numbers) // 2]
        pads[source.physical_axis(axis)] = (before, after)
    return pads


def _fill(node: QuantNode) -> int | None:
    """Quantize the fill value; None for real zero."""
    value = node.constant(2)
    if value is None:
        return None
    real = float(value.values.item())
    if value.scale is not None:
        real = (real - float(np.asarray(value.zero_point).item())) * float(value.scale.item())
    integer = round(real / node.output.params.scale) + node.output.params.zero_point
    return min(max(integer, INT8_MIN), INT8_MAX)
