"""Target files written by tests."""

from __future__ import annotations

from pathlib import Path

MINIMAL = """
name = "board"
title = "Some board"
backends = ["litert"]
[engine]
format = "tflite"
scheme = "affine"
input_dtype = "uint8"
"""


def write(folder: Path, text: str, name: str = "board.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path
