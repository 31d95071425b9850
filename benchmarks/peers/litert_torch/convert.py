"""Build the peer: convert the same checkpoint with litert-torch and ai-edge-quantizer.

Run it in an environment of its own, from the root of the repository:

    python3 -m venv .peer
    .peer/bin/pip install -r benchmarks/peers/litert_torch/requirements.txt
    PYTHONPATH=. .peer/bin/python benchmarks/peers/litert_torch/convert.py \
        --checkpoint voc.pt --calibration IMAGES --out peer.tflite

The model is edgessd's network with NHWC input and output. The converter, the calibration and the recipe
`static_wi8_ai8` are the peer's. edgessd's own code reads the weights (a checkpoint, or a folder with
graph.json and weights.npz) and preprocesses the images, so that only the conversion differs.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import cv2
import litert_torch
import numpy as np
import torch
from ai_edge_quantizer import quantizer, recipe

from edgessd.core.preprocess import fit_image
from edgessd.model.batch_norm import fold_batch_norm
from edgessd.model.checkpoint import Checkpoint, load_checkpoint, load_model
from edgessd.model.importers.folded import import_folded
from edgessd.model.layers import ConvUnit, same_padding

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp"}
SIGNATURE = "serving_default"


def main() -> None:
    arguments = _arguments()
    checkpoint = read_checkpoint(arguments.checkpoint)
    images = sorted(p for p in arguments.calibration.iterdir() if p.suffix.lower() in SUFFIXES)
    images = images[: arguments.images]
    if len(images) < arguments.images:
        sys.exit(f"{arguments.calibration} holds {len(images)} images, {arguments.images} wanted")

    started = time.perf_counter()
    tensors = [_tensor(path, checkpoint) for path in images]
    float_path = arguments.out.with_suffix(".float32.tflite")
    convert_float(checkpoint, tensors[0], float_path)

    peer = quantizer.Quantizer(str(float_path))
    peer.load_quantization_recipe(recipe.static_wi8_ai8())
    statistics = peer.calibrate(
        {SIGNATURE: [{"args_0": tensor} for tensor in tensors]}, num_threads=2
    )
    peer.quantize(statistics).export_model(str(arguments.out), overwrite=True)
    print(
        json.dumps(
            {
                "out": str(arguments.out),
                "float32": str(float_path),
                "images": len(images),
                "seconds": round(time.perf_counter() - started, 1),
            }
        )
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--checkpoint", type=Path, required=True, help="a .pt file or a folded folder"
    )
    parser.add_argument("--calibration", type=Path, required=True, help="a folder of images")
    parser.add_argument(
        "--images", type=int, default=100, help="number of images, in the order of their names"
    )
    parser.add_argument("--out", type=Path, required=True, help="the int8 .tflite to write")
    return parser.parse_args()


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint of edgessd, or a folded folder."""
    return import_folded(path) if path.is_dir() else load_checkpoint(path)


def convert_float(checkpoint: Checkpoint, example: np.ndarray, out: Path) -> None:
    """Write the network as a float32 .tflite; `example` is (1, H, W, 3) float32."""
    network = fold_batch_norm(load_model(checkpoint))
    _pad_inside_convolutions(network, checkpoint)
    model = litert_torch.to_channel_last_io(network, args=[0])
    with torch.no_grad():
        converted = litert_torch.convert(model.eval(), (torch.from_numpy(example),))
    converted.export(str(out))


def _tensor(path: Path, checkpoint: Checkpoint) -> np.ndarray:
    """Return one calibration image as (1, H, W, 3) float32, normalized as in the checkpoint."""
    spec = checkpoint.contract.preprocess
    pixels, _ = fit_image(cv2.imread(str(path), cv2.IMREAD_COLOR), spec)
    mean, std = np.float32(spec.mean), np.float32(spec.std)
    return ((pixels.astype(np.float32) - mean) / std)[None]


def _pad_inside_convolutions(network: torch.nn.Module, checkpoint: Checkpoint) -> None:
    """Let a convolution pad its own input if SAME is symmetric (odd sizes).

    The result is the same. The peer's converter leaves one such Pad outside its convolution, between
    three transpositions, which would slow it down through no fault of its kernels.
    """

    def settle(unit: ConvUnit, inputs: tuple[torch.Tensor]) -> None:
        kernel, stride = unit.conv.kernel_size[0], unit.conv.stride[0]
        pads = {same_padding(side, kernel, stride) for side in inputs[0].shape[-2:]}
        (before, after), *others = pads
        if not others and before == after:
            unit.conv.padding = (before, before)
            unit.same_padding = False

    units = [unit for unit in network.modules() if isinstance(unit, ConvUnit) and unit.same_padding]
    hooks = [unit.register_forward_pre_hook(settle) for unit in units]
    spec = checkpoint.contract.preprocess
    with torch.no_grad():
        network(torch.zeros(1, 3, spec.height, spec.width))
    for hook in hooks:
        hook.remove()


if __name__ == "__main__":
    main()
