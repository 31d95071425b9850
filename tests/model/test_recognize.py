"""Files of other projects are recognized, and the error names the command that imports them."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgessd.core.errors import CheckpointError
from edgessd.model.checkpoint import load_checkpoint
from edgessd.model.recognize import recognize_file


@pytest.mark.parametrize(
    ("content", "found", "fix"),
    [
        ({"classification_headers.0.0.weight": 0}, "pytorch-ssd", "edgessd import pytorch-ssd"),
        ({"features.0.0.weight": 0}, "torchvision's layout", "edgessd train --weights"),
        ({"model": 1, "ema": 2}, "dictionary with model, ema", "edgessd import --help"),
        ({}, "nothing in it", "edgessd import --help"),
        ([1, 2], "a saved list", "edgessd checkpoint"),
    ],
)
def test_contents_are_recognized(content: object, found: str, fix: str) -> None:
    recognized = recognize_file(content, Path("model.pth"))
    assert found in recognized.found
    assert fix in recognized.fix


@pytest.mark.parametrize(
    ("suffix", "name"),
    [(".onnx", "an ONNX graph"), (".tflite", "a TFLite model"), (".engine", "a TensorRT engine")],
)
def test_other_formats_are_recognized_by_suffix(tmp_path: Path, suffix: str, name: str) -> None:
    path = tmp_path / f"model{suffix}"
    path.write_bytes(b"\x08\x08 something")
    with pytest.raises(CheckpointError, match=name):
        load_checkpoint(path)
