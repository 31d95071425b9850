"""A first convolution is adapted to another normalization."""

from __future__ import annotations

import msgspec
import torch

from edgessd.model.importers.preprocessing import adapt_first_conv
from edgessd.model.importers.torchvision_layout import PREPROCESS


def test_swapped_channels_are_swapped_back() -> None:
    rgb = PREPROCESS
    bgr = msgspec.structs.replace(rgb, color="BGR", mean=rgb.mean[::-1], std=rgb.std[::-1])
    weight = torch.randn(4, 3, 3, 3)
    adapted, shift = adapt_first_conv(weight, trained=rgb, wanted=bgr)
    torch.testing.assert_close(adapted, weight.flip(1))
    torch.testing.assert_close(shift, torch.zeros(4))
