"""Translate the padding of sliding windows from ONNX's numbers to SAME, VALID or a PAD operator.

SAME is section "Convolution" of TensorFlow's `tf.nn` documentation: ceil(input / stride) outputs,
the padding split with the odd row or column at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgessd.lower.tflite.ir import QuantNode


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """Kernel that slides over an image; pairs are (vertical, horizontal).

    Attributes:
        kernel: Size in pixels.
        strides: Steps in pixels.
        dilations: Distance between the kernel's elements, in pixels.
        before: Padding before the first row and column, in pixels.
        padding: TFLite's name; SAME only if some window reaches beyond the image.
        pads: ((top, bottom), (left, right)) that a PAD operator must add first; None for no PAD.
    """

    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    before: tuple[int, int]
    padding: str
    pads: tuple[tuple[int, int], tuple[int, int]] | None


def read_window(node: QuantNode, kernel: Sequence[int]) -> Window:
    """Read the window of a Conv or pooling node.

    The padding before the first pixel and the number of windows determine the pixels that each window
    reads. Padding after the last pixel that no window reaches is ignored: symmetric padding 1 of a 3x3
    kernel with stride 2 on an odd size is TensorFlow's SAME.
    """
    strides = _pair(node.attributes.get("strides", [1, 1]))
    dilations = _pair(node.attributes.get("dilations", [1, 1]))
    image = node.image()
    if node.attributes.get("ceil_mode", 0):
        node.refuse("ceil_mode=1 counts windows that TFLite doesn't", expected="ceil_mode=0")
    sizes, counts = image.shape[2:], node.output.shape[2:]
    spans = [(taps - 1) * step + 1 for taps, step in zip(kernel, dilations, strict=True)]
    before = _pads_before(node, sizes, counts, spans, strides)
    rows, columns = (
        _Axis(*numbers) for numbers in zip(sizes, counts, spans, strides, before, strict=True)
    )
    valid = rows.is_valid and columns.is_valid
    same = not valid and rows.is_same and columns.is_same
    explicit = not valid and not same
    return Window(
        kernel=_pair(kernel),
        strides=strides,
        dilations=dilations,
        before=before,
        padding="SAME" if same else "VALID",
        pads=((rows.before, rows.after), (columns.before, columns.after)) if explicit else None,
    )


@dataclass(frozen=True, slots=True)
class _Axis:
    """One dimension of a sliding window: input pixels, number of windows, pixels per window."""

    size: int
    count: int
    span: int
    stride: int
    before: int

    @property
    def is_same(self) -> bool:
        same = same_before(self.size, self.span, self.stride)
        return self.count == -(-self.size // self.stride) and self.before == same

    @property
    def is_valid(self) -> bool:
        return self.before == 0 and self.count == (self.size - self.span) // self.stride + 1

    @property
    def after(self) -> int:
        """Padding behind the image that the last window reaches, in pixels."""
        return max(0, (self.count - 1) * self.stride + self.span - self.size - self.before)


def same_before(size: int, span: int, stride: int) -> int:
    """Compute the padding before the first pixel under TensorFlow's SAME."""
    return max((-(-size // stride) - 1) * stride + span - size, 0) // 2


def _pads_before(
    node: QuantNode,
    sizes: Sequence[int],
    counts: Sequence[int],
    spans: Sequence[int],
    strides: Sequence[int],
) -> tuple[int, int]:
    """Compute the padding before the first row and column from `pads` or `auto_pad`."""
    auto = node.attributes.get("auto_pad", b"NOTSET").decode()
    if auto == "VALID":
        return (0, 0)
    if auto == "NOTSET":
        pads = [int(pad) for pad in node.attributes.get("pads", [0, 0, 0, 0])]
        if min(pads) < 0:
            node.refuse(f"negative padding {pads} crops its input", expected="pads >= 0")
        return (pads[0], pads[1])
    # An odd pixel of padding goes to the end in SAME_UPPER and to the start in SAME_LOWER.
    totals = [
        max((count - 1) * stride + span - size, 0)
        for size, count, span, stride in zip(sizes, counts, spans, strides, strict=True)
    ]
    return _pair([total // 2 if auto == "SAME_UPPER" else -(-total // 2) for total in totals])


def _pair(values: Sequence[int]) -> tuple[int, int]:
    vertical, horizontal = (int(value) for value in values)
    return (vertical, horizontal)
