"""Options that several commands have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

CheckpointFile = Annotated[
    Path | None,
    typer.Option(help="Checkpoint. Default: the newest of runs/*/best.pt, else the starter model."),
]
RecipeName = Annotated[
    str,
    typer.Option(help="Quantization settings: a name or a .toml file.", metavar="NAME|PATH"),
]
BackendName = Annotated[
    str | None, typer.Option(help="Backend that runs the engine.", metavar="NAME")
]
LabelFile = Annotated[
    Path | None,
    typer.Option(help="Label file of a foreign .tflite, one label a line.", metavar="FILE"),
]
