"""Let the first convolution read two pixels as one, for kernels that work on 8 channels at a time.

A convolution over 3 channels with stride 2 leaves most of an 8-channel kernel idle, in each of its 9
taps. In memory a row of pixels RGBRGB... is a row of half as many pixels of 6 channels, and stride 2
over the one is stride 1 over the other. The weights get a column of zeros where the kernel's width is
odd. Sums, bias and rounding stay what they were, so the outputs are equal to the bit.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgessd.lower.tflite.ir import Activation, Constant, QuantNetwork, QuantNode
from edgessd.lower.tflite.windows import read_window

PAIR_COLUMNS = "PairColumns"
# Channels that XNNPACK's int8 kernels for x86 multiply at a time.
_CHANNEL_GROUP = 8


def pair_columns(network: QuantNetwork) -> QuantNetwork:
    """Rewrite the convolution that is the only reader of the image, if that saves multiplications.

    It does if the image's width is even, the horizontal stride is 2, there is no padding on the left, and
    the kernels multiply fewer channels afterwards. Otherwise the network is returned unchanged.
    """
    images = {image.name for image in network.inputs}
    readers = [n for n in network.nodes if any(a.name in images for a in n.activations())]
    if len(readers) != 1 or not _pays(readers[0]):
        return network
    (conv,) = readers
    image = conv.image()
    batch, channels, height, width = image.shape
    paired = replace(
        image, name=f"{image.name}/pairs", shape=(batch, 2 * channels, height, width // 2)
    )
    pairing = QuantNode(
        name=f"{conv.name}/pairs",
        op_type=PAIR_COLUMNS,
        inputs=(image,),
        output=paired,
        attributes={},
    )
    index = network.nodes.index(conv)
    nodes = (*network.nodes[:index], pairing, _paired(conv, paired), *network.nodes[index + 1 :])
    return replace(network, nodes=nodes)


def _pays(conv: QuantNode) -> bool:
    weights = conv.constant(1) if conv.op_type == "Conv" else None
    if weights is None or conv.attributes.get("group", 1) != 1:
        return False
    _, channels, height, taps = weights.values.shape
    window = read_window(conv, (height, taps))
    fits = conv.image().shape[3] % 2 == 0 and window.strides[1] == 2 and window.before[1] == 0
    plain = window.dilations == (1, 1)
    return fits and plain and -(-taps // 2) * _groups(2 * channels) < taps * _groups(channels)


def _groups(channels: int) -> int:
    return -(-channels // _CHANNEL_GROUP)


def _paired(conv: QuantNode, image: Activation) -> QuantNode:
    """Rewrite a convolution for pairs: weights (out, c, h, w) become (out, 2 c, h, ceil(w / 2))."""
    weights = conv.constant(1)
    assert weights is not None  # checked by `_pays`
    outputs, channels, height, taps = weights.values.shape
    even = np.zeros((outputs, channels, height, taps + taps % 2), weights.values.dtype)
    even[..., :taps] = weights.values
    # (out, c, h, pair, left or right) to (out, left or right, c, h, pair)
    split = even.reshape(outputs, channels, height, -1, 2).transpose(0, 4, 1, 2, 3)
    values = split.reshape(outputs, 2 * channels, height, -1)
    window = read_window(conv, (height, taps))
    attributes = {
        "strides": [window.strides[0], 1],
        "pads": [window.before[0], 0, 0, 0],
    }
    constant: Constant = replace(weights, values=np.ascontiguousarray(values))
    return replace(conv, inputs=(image, constant, *conv.inputs[2:]), attributes=attributes)
