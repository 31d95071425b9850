"""Move the input's normalization into the first convolution.

If the network expects (pixel - 128) / 128, an int8 engine's input is pixel - 128 in both quantization
schemes, with scale 1/128 and zero point 0, and no arithmetic on pixels is needed. So the first Conv, which
expects (pixel - mean) / std, is rewritten for that input:

    x = (pixel - mean) / std = a u + b,  u = (pixel - 128) / 128,  a = 128 / std,  b = (128 - mean) / std
    conv(x) = conv with weight w * a of u, plus the constant sum over w * b

This is exact wherever the whole kernel lies on the image. Beyond the image's edge the old graph pads with x
= 0, a pixel of `mean`, and the new one with u = 0, a pixel of 128: for mean 127.5 the outermost row differs
by half a gray level, for mean 128 by nothing. Letterbox bars are pixels and stay exact.
"""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from edgessd.core.contract import Preprocess
from edgessd.core.errors import GraphError
from edgessd.graph.view import GraphView, copy_of, set_initializer
from edgessd.quantize.float_passes.observed_graph import ObservedGraph

CENTER = 128.0
"""Mean and std for which an int8 input equals pixel - 128."""


def absorb_preprocess(observed: ObservedGraph) -> ObservedGraph:
    """Rewrite the first Conv so that the input is (pixel - 128) / 128 in every channel.

    Raises:
        GraphError: The image has another reader than one Conv with constant parameters, or the rewritten
            Conv computes other numbers inside the image.
    """
    model, contract = observed.graph.model, observed.graph.contract
    view = GraphView(model)
    conv = view.only_consumer(view.inputs[0]) if len(view.inputs) == 1 else None
    if conv is None or conv.op_type != "Conv":
        raise GraphError(
            "The preprocessing can't be folded into the network",
            expected="one input that one Conv reads",
            found=", ".join(node.op_type for node in view.consumers(view.inputs[0])),
        )
    factor, offset = _affine(contract.preprocess)
    old_weight, old_bias = (np.asarray(view.constant(name)) for name in conv.input[1:])
    weight = old_weight.astype(np.float64)
    if weight.shape[1] != len(factor):
        raise GraphError(
            "The first Conv doesn't read the image's channels one by one",
            expected=f"weights of shape (out, {len(factor)}, kh, kw)",
            found=str(weight.shape),
        )
    new_bias = (old_bias + np.einsum("oikl,i->o", weight, offset)).astype(np.float32)
    new_weight = (weight * factor[None, :, None, None]).astype(np.float32)
    preprocess = replace(contract.preprocess, mean=(CENTER,) * 3, std=(CENTER,) * 3)
    _check_interior(
        _patch_response(old_weight, old_bias, contract.preprocess),
        _patch_response(new_weight, new_bias, preprocess),
    )
    model = copy_of(model)
    set_initializer(model, conv.input[1], new_weight)
    set_initializer(model, conv.input[2], new_bias)
    contract = replace(contract, preprocess=preprocess)
    return observed.rewritten(model, by="absorb_preprocess", contract=contract)


def _affine(preprocess: Preprocess) -> tuple[np.ndarray, np.ndarray]:
    """Return (a, b) of each channel with (pixel - mean) / std = a * (pixel - 128) / 128 + b."""
    mean, std = np.array(preprocess.mean), np.array(preprocess.std)
    return CENTER / std, (CENTER - mean) / std


def _patch_response(weight: np.ndarray, bias: np.ndarray, preprocess: Preprocess) -> np.ndarray:
    """Return the Conv's outputs (16, out) on sixteen patches of noise of the kernel's size."""
    pixels = np.random.default_rng(0).integers(0, 256, (16, *weight.shape[1:]))
    mean, std = (np.array(v)[:, None, None] for v in (preprocess.mean, preprocess.std))
    products = np.einsum("nikl,oikl->no", (pixels - mean) / std, weight.astype(np.float64))
    return np.asarray(products + bias)


def _check_interior(expected: np.ndarray, found: np.ndarray) -> None:
    worst = float(np.abs(found - expected).max())
    # Only the rounding of the new parameters to float32 may make a difference.
    if not worst <= 1e-5 * max(1.0, float(np.abs(expected).max())):
        raise GraphError("Folding the preprocessing changed the first Conv", found=f"{worst:.3g}")
