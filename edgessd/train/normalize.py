"""Normalization of a training batch on the device that trains."""

from __future__ import annotations

import torch

from edgessd.core.contract import Preprocess


class Normalize:
    """Turn pixels into the network's input, with the numbers of `core.preprocess.fill_tensor`.

    Batches reach the device as uint8, a quarter of the bytes that float32 would take, and are
    normalized there.

    Args:
        preprocess: Mean and standard deviation of each channel.
        device: Device of the result.
    """

    def __init__(self, preprocess: Preprocess, device: torch.device) -> None:
        self._mean = torch.tensor(preprocess.mean, device=device)
        self._std = torch.tensor(preprocess.std, device=device)
        self._device = device

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, H, W, 3) uint8 → (B, 3, H, W) float32 in channels_last memory."""
        values = pixels.to(self._device, non_blocking=True).float()
        return values.sub_(self._mean).div_(self._std).permute(0, 3, 1, 2)
