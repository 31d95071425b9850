"""What a file from another project is, and the command that brings it in."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple


class Recognized(NamedTuple):
    """What was found, and the next thing to do."""

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
    """Recognise loaded contents, or by path alone when there are none (`content` None)."""
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
            f"{path.stat().st_size} bytes that aren't torch's",
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
        "See edgessd import --help for the layouts that come in",
    )
