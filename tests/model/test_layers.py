"""Padding is that of TensorFlow."""

from __future__ import annotations

import torch

from edgessd.model.layers import pad_same, same_padding


def test_same_padding_is_tensorflows() -> None:
    assert same_padding(300, 3, 2) == (0, 1)
    assert same_padding(75, 3, 2) == (1, 1)
    assert same_padding(19, 3, 1) == (1, 1)
    assert same_padding(1, 3, 2) == (1, 1)


def test_same_padded_stride_2_reads_the_pixels_that_tensorflow_reads() -> None:
    image = torch.arange(16.0).view(1, 1, 4, 4)
    first_of_each_window = torch.zeros(1, 1, 3, 3)
    first_of_each_window[0, 0, 0, 0] = 1
    out = torch.nn.functional.conv2d(pad_same(image, 3, 2), first_of_each_window, stride=2)
    # Nothing stands before row and column 0, so windows begin on pixels 0 and 2.
    assert out.flatten().tolist() == [0, 2, 8, 10]
