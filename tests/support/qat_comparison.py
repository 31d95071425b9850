"""Comparison of a training network with the Q/DQ graph that is built from it."""

from __future__ import annotations

import numpy as np
import onnx
import torch

from edgessd.bundle.quality import CalibrationAudit
from edgessd.core.network_tensors import INPUT
from edgessd.graph.verify import run_model
from edgessd.graph.view import GraphView, copy_of
from edgessd.quantize.qat.network import QatNetwork
from edgessd.quantize.qdq import names as qdq_names
from edgessd.quantize.qdq.quant_graph import QuantGraph

AUDIT = CalibrationAudit(
    images=16,
    unreadable=0,
    distinct=16,
    leaked=0,
    compared_with="",
    classes_unseen=(),
    mean_range_shift=0.01,
    worst_range_shift=0.02,
    worst_range_shift_tensor="stem",
    worst_saturation=None,
    worst_saturation_tensor="",
    warnings=("Only 16 different calibration images",),
)


def image_input(seed: int) -> np.ndarray:
    """Return noise (1, 3, 64, 97) as the network's input."""
    pixels = np.random.default_rng(seed).integers(0, 256, (1, 3, 64, 97))
    return ((pixels - 128) / 128).astype(np.float32)


def run_network(network: QatNetwork, image: np.ndarray) -> dict[str, np.ndarray]:
    """Run a training network in evaluation mode; outputs by name."""
    with torch.no_grad():
        outputs = network.eval()(torch.from_numpy(image))
    return dict(zip(("box_codes", "class_scores"), (o.numpy() for o in outputs), strict=True))


def assert_same_integers(network: QatNetwork, built: QuantGraph, image: np.ndarray) -> None:
    """Compare the first tensors of both in steps, and their outputs.

    A float32 sum in another order is sometimes rounded to the next integer. In an untrained network such
    differences spread (0.001 of the first tensor, 0.02 of the third), so only the first tensors are
    compared. The outputs must differ by less than rounding changes them.
    """
    network.judged = built.scheme
    sites, view = network.sites[built.scheme], GraphView(built.model)
    names = [name for name in sites.activations if name.startswith("backbone.blocks")][:3]
    model = copy_of(built.model)
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(
            qdq_names.dequantized(name), onnx.TensorProto.FLOAT, None
        )
        for name in names
    )
    expected = run_model(model, {INPUT: image})
    with torch.no_grad():
        found = network.eval().tensors(torch.from_numpy(image), names)
    for name in names:
        scale = float(view.constant(qdq_names.scale(sites.activations[name])).item())
        steps = np.abs(found[name].numpy() - expected[qdq_names.dequantized(name)]) / scale
        assert (steps > 0.5).mean() < 0.05, name
        assert steps.max() < 3.5, name
    network.judged = None
    exact = run_network(network, image)
    network.judged = built.scheme
    for name, values in run_network(network, image).items():
        lost = np.abs(exact[name] - expected[name]).mean()
        assert np.abs(values - expected[name]).mean() < 0.8 * lost, name
