"""Fold batch normalization into convolutions, and undo it for training."""

from __future__ import annotations

import copy
from typing import TypeVar

import msgspec
import torch
from torch import Tensor, nn

from edgessd.model.config import BatchNorm
from edgessd.model.layers import ConvUnit
from edgessd.model.ssdlite import SsdLite

State = dict[str, Tensor]
Network = TypeVar("Network", bound=nn.Module)


@torch.no_grad()
def fold_batch_norm(network: Network) -> Network:
    """Copy a network with its batch norms folded into the convolutions before them.

    With gamma, beta, mean, variance of the norm: weight' = weight * g and bias' = beta + (bias - mean)
    * g, where g = gamma / sqrt(variance + epsilon) (section 3.2 of arXiv:1712.05877).

    Returns:
        A copy in evaluation mode that computes the same function. If the network is an `SsdLite`, the
        copy's `config.batch_norm` is None, so that it can be saved as a checkpoint.
    """
    folded = copy.deepcopy(network).eval()
    for unit in folded.modules():
        if isinstance(unit, ConvUnit) and isinstance(unit.norm, nn.BatchNorm2d):
            _fold(unit.conv, unit.norm)
            unit.norm = nn.Identity()
    if isinstance(folded, SsdLite):
        folded.config = msgspec.structs.replace(folded.config, batch_norm=None)
    return folded


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    # In float64, because the quotient of a tiny gamma and a tiny deviation loses digits in float32.
    gain, offset = _affine(norm)
    weight = conv.weight.double() * gain.view(-1, 1, 1, 1)
    bias = offset if conv.bias is None else offset + conv.bias.double() * gain
    conv.weight = nn.Parameter(weight.to(conv.weight.dtype))
    conv.bias = nn.Parameter(bias.to(conv.weight.dtype))


def _affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Gain and offset, (C,) float64 each: in evaluation mode a batch norm computes gain * x + offset."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gain = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    return gain, norm.bias.double() - norm.running_mean.double() * gain


def unfold_state(folded: State, norm: BatchNorm) -> State:
    """Turn the state of folded convolutions into that of convolutions with batch norm.

    The function in evaluation mode stays the same. Each batch norm gets mean 0, variance 1 and a gamma
    that cancels epsilon. These statistics don't come from data: call `calibrate_batch_norm` before
    training, or training mode computes another function.

    Args:
        folded: `X.conv.weight` and `X.conv.bias` of ConvUnits; other tensors are copied.
        norm: Batch norm settings of the model that receives the state.
    """
    state: State = {}
    for name, tensor in folded.items():
        unit, _, leaf = name.rpartition(".conv.")
        if unit and leaf == "bias":
            state[f"{unit}.norm.bias"] = tensor.clone()
            state[f"{unit}.norm.weight"] = torch.full_like(tensor, (1 + norm.epsilon) ** 0.5)
            state[f"{unit}.norm.running_mean"] = torch.zeros_like(tensor)
            state[f"{unit}.norm.running_var"] = torch.ones_like(tensor)
            state[f"{unit}.norm.num_batches_tracked"] = torch.tensor(0)
        else:
            state[name] = tensor.clone()
    return state


@torch.no_grad()
def calibrate_batch_norm(network: nn.Module, images: Tensor, *, batch_size: int = 16) -> int:
    """Estimate batch norm statistics on images, without changing the network's function.

    Each batch norm gets the mean and variance of its input over `images`, and the gamma and beta that
    keep its function in evaluation mode: y = a x + c before and after. In training mode, on batches
    like `images`, it then computes nearly the same function, so folded weights can be fine-tuned.

    One pass is enough for all layers because no layer's function changes.

    Args:
        network: Module whose only argument is a batch of images, for example `model.backbone`.
        images: (B, 3, H, W) float32, normalized; 32 to 128 training images are enough.
        batch_size: Images per forward pass.

    Returns:
        Number of batch norm layers.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    moments = {norm: _Moments(norm) for norm in norms}
    hooks = [norm.register_forward_pre_hook(moments[norm].observe) for norm in norms]
    was_training = network.training
    network.eval()
    try:
        for batch in torch.split(images, batch_size):
            network(batch)
    finally:
        for hook in hooks:
            hook.remove()
        network.train(was_training)
    for norm, moment in moments.items():
        _set_statistics(norm, *moment.mean_and_variance())
    return len(norms)


class _Moments:
    """Running sum and sum of squares of each channel, in float64."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        self.count = 0
        self.total = torch.zeros(norm.num_features, dtype=torch.float64, device=norm.weight.device)
        self.squares = torch.zeros_like(self.total)

    def observe(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].double()
        self.count += x.numel() // x.shape[1]
        self.total += x.sum(dim=(0, 2, 3))
        self.squares += (x * x).sum(dim=(0, 2, 3))

    def mean_and_variance(self) -> tuple[Tensor, Tensor]:
        mean = self.total / self.count
        return mean, (self.squares / self.count - mean * mean).clamp_min(0)


def _set_statistics(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    gain, offset = _affine(norm)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.weight.copy_(gain * torch.sqrt(variance + norm.eps))
    norm.bias.copy_(offset + gain * mean)
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
