"""`edgessd compare` of a checkpoint and its float graph."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import edgessd

pytestmark = pytest.mark.slow


def test_compare_checkpoint_and_its_float_graph(
    voc_checkpoint: Path, some_of_voc: Path, tmp_path: Path
) -> None:
    from edgessd.graph.export import export_float_graph
    from edgessd.graph.float_graph import save_graph
    from edgessd.model.checkpoint import load_checkpoint

    graph = tmp_path / "voc.onnx"
    save_graph(export_float_graph(load_checkpoint(voc_checkpoint)), graph)
    result = edgessd(
        *("compare", voc_checkpoint, graph, "--data", some_of_voc, "--threads", "1", "--json")
    )
    record = result.json
    parity = record["artifacts"][str(graph)]
    assert record["images"] == record["labelled_images"] == 6
    # Only float32 rounding differs, too little to change AP.
    assert parity["agreement_AP"] == pytest.approx(1, abs=1e-3)
    assert parity["AP"] == pytest.approx(record["reference"]["AP"], abs=1e-3)
    assert parity["max_class_drift"] == pytest.approx(0, abs=1e-3)
    assert parity["raw_within_1_lsb"] is None
    unlabelled = edgessd(
        *("compare", voc_checkpoint, graph, "--data", some_of_voc / "JPEGImages", "--threads", "1")
    )
    assert "6 images, 0 with labels" in " ".join(unlabelled.err.split())
    assert "…" not in unlabelled.err  # no number is cut off at 80 columns


def test_one_model_alone_is_refused() -> None:
    refused = edgessd("compare", "a.pt", "--data", ".", code=1)
    assert "too few models to compare" in refused.paragraph
