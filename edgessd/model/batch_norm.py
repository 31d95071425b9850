"""Batch norm into convolutions and back: fold for engines, calibrate for training."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import torch
from torch import Tensor, nn

from edgessd.model.config import BatchNorm
from edgessd.model.layers import ConvUnit
from edgessd.model.ssdlite import SsdLite

State = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class FoldedConv:
    """A convolution with its batch norm folded in: weight (out, in / groups, k, k), bias (out,)."""

    weight: Tensor
    bias: Tensor


def fold_conv(weight: Tensor, bias: Tensor | None, norm: nn.BatchNorm2d) -> FoldedConv:
    """The convolution that computes norm(conv(x)) in evaluation mode, to float32 rounding."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    # In float64: the quotient of a tiny gamma and a tiny deviation loses digits in float32.
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    mean = norm.running_mean.double() - (0 if bias is None else bias.double())
    return FoldedConv(
        weight=(weight.double() * scale.view(-1, 1, 1, 1)).float(),
        bias=(norm.bias.double() - mean * scale).float(),
    )


@torch.no_grad()
def fold_batch_norm(model: SsdLite) -> SsdLite:
    """The same function in evaluation mode without batch norm: a new model, in evaluation mode.

    Its `config.batch_norm` is None. A model that has none is copied.
    """
    config = msgspec.structs.replace(model.config, batch_norm=None)
    folded = SsdLite(config, model.contract)
    state: State = {}
    for name, module in model.named_modules():
        if isinstance(module, ConvUnit) and isinstance(module.norm, nn.BatchNorm2d):
            conv = fold_conv(module.conv.weight, module.conv.bias, module.norm)
            state[f"{name}.conv.weight"], state[f"{name}.conv.bias"] = conv.weight, conv.bias
    for name, tensor in model.state_dict().items():
        if name not in state and ".norm." not in name:
            state[name] = tensor.detach().clone()
    folded.load_state_dict(state)
    return folded.eval()


def unfold_state(folded: State, norm: BatchNorm) -> State:
    """Folded convolutions as convolution and batch norm, the same function in evaluation mode.

    Args:
        folded: `X.conv.weight` and `X.conv.bias` of ConvUnits; anything else passes through.
        norm: Of the model that will take the state.

    The batch norm gets mean 0, variance 1 and a gamma that undoes epsilon. Its statistics describe
    no data: run `calibrate_batch_norm` before training, or the first batches see a different network.
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
    """Settle batch-norm statistics on real images without changing what the network computes.

    Every batch norm gets the mean and variance that its input has over `images`, and the gamma and
    beta that keep its evaluation-mode function: y = a x + c before and after. In training mode, on
    batches like `images`, it then computes nearly the same, so folded weights can be fine-tuned as if
    their batch norm had never been folded.

    One pass is enough for all layers because no layer's function changes.

    Args:
        network: Anything that takes images alone, `model.backbone` for instance.
        images: (B, 3, H, W) float32, normalised; 32 to 128 training images are plenty.
        batch_size: Images a forward pass.

    Returns:
        Number of layers settled.
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
        _settle(norm, *moment.mean_and_variance())
    return len(norms)


class _Moments:
    """Running sum and sum of squares per channel, in float64."""

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


def _settle(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    slope = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    offset = norm.bias.double() - norm.running_mean.double() * slope
    norm.weight.copy_(slope * torch.sqrt(variance + norm.eps))
    norm.bias.copy_(offset + slope * mean)
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
