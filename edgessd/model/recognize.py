"""Recognize a file of another project and name the command that imports it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple


class Recognized(NamedTuple):
    """Kind of a file, and the next step for the user."""

    found: str
    fix: str


_BY_SUFFIX = {
    ".onnx": Recognized("an ONNX graph", "Give the checkpoint that the graph was exported from"),
    ".tflite": Recognized("a TFLite model", "Run it as it is: edgessd run --model FILE"),
    ".engine": Recognized(
        "a TensorRT engine", "Give the checkpoint that the engine was built from"
    ),
    ".npz": Recognized("numpy arrays", "Give the folder that holds graph.json and weights.npz"),
}


def recognize_file(content: Any, path: Path) -> Recognized:
    """Recognize a file by its contents, or by its path alone if `content` is None."""
    if path.is_dir():
        if (path / "graph.json").is_file():
            return Recognized(
                "graph.json, so a folded network", f"edgessd import folded {path} --out CHECKPOINT"
            )
        return Recognized(
            "neither a checkpoint nor graph.json in it", "Give the checkpoint file itself"
        )
    if isinstance(content, dict):
        return _by_keys(content, path)
    if content is not None:
        return Recognized(f"a saved {type(content).__name__}", "Give an edgessd checkpoint")
    return _BY_SUFFIX.get(
        path.suffix.lower(),
        Recognized(
            f"{path.stat().st_size} bytes in no format of torch",
            "Give a file written by edgessd train or edgessd import",
        ),
    )


def _by_keys(content: dict[Any, Any], path: Path) -> Recognized:
    keys = [str(key) for key in content]
    if any(key.startswith("classification_headers.") for key in keys):
        return Recognized(
            "a state dict of pytorch-ssd or jetson-inference",
            f"edgessd import pytorch-ssd {path} --labels labels.txt --out CHECKPOINT",
        )
    if "features.0.0.weight" in keys:
        return Recognized(
            "a backbone in torchvision's layout",
            f"Start training from it: edgessd train --weights {path}",
        )
    shown = ", ".join(keys[:3]) + (" …" if len(keys) > 3 else "")
    return Recognized(
        f"a dictionary with {shown or 'nothing in it'}",
        "edgessd import --help lists the layouts that can be imported",
    )
