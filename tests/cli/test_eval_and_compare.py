"""`edgessd eval` and `edgessd compare` on real data and on input that must be refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from command_line import edgessd


@pytest.fixture(scope="module")
def voc_checkpoint(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("voc") / "voc.pt"
    source = shared / "weights" / "ssdlite_mobilenet_v2_voc"
    edgessd("import", "folded", source, "--out", path)
    return path


@pytest.fixture(scope="module")
def some_of_voc(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six images of voc100 as a dataset of its own."""
    source, root = shared / "data" / "voc100", tmp_path_factory.mktemp("some") / "some"
    names = sorted(path.stem for path in (source / "JPEGImages").glob("*.jpg"))[:6]
    for folder, suffix in (("JPEGImages", ".jpg"), ("Annotations", ".xml")):
        (root / folder).mkdir(parents=True)
        for name in names:
            content = (source / folder / f"{name}{suffix}").read_bytes()
            (root / folder / f"{name}{suffix}").write_bytes(content)
    return root


@pytest.mark.slow
def test_the_voc_detector_has_its_known_accuracy(shared: Path, voc_checkpoint: Path) -> None:
    result = edgessd(
        "eval", voc_checkpoint, "--data", shared / "data/voc100", "--threads", "1", "--json"
    )
    record = result.json
    assert record["AP"] == pytest.approx(0.522, abs=0.002)
    assert record["AP50"] == pytest.approx(0.775, abs=0.002)
    assert (record["images"], record["skipped"], record["split"]) == (100, [], "all")
    assert len(record["per_class"]) == 20
    # VOC's own AP50 of the same detections lies close by.
    assert record["voc10_AP50"] == pytest.approx(0.770, abs=0.005)


def test_eval_writes_a_folder_and_says_what_it_rests_on(
    voc_checkpoint: Path, some_of_voc: Path, tmp_path: Path
) -> None:
    broken = some_of_voc / "JPEGImages" / "2007_000000.jpg"
    content = next((some_of_voc / "JPEGImages").glob("*.jpg")).read_bytes()
    annotation = next((some_of_voc / "Annotations").glob("*.xml")).read_text()
    broken.write_bytes(content[: len(content) // 2])
    (some_of_voc / "Annotations" / "2007_000000.xml").write_text(annotation)
    try:
        result = edgessd(
            *("eval", voc_checkpoint, "--data", some_of_voc),
            *("--threads", "1", "--out", tmp_path / "out"),
        )
    finally:
        broken.unlink()
        (some_of_voc / "Annotations" / "2007_000000.xml").unlink()
    assert result.out == ""
    said = " ".join(result.err.split())
    assert "COCO AP over 6 images" in said
    assert "2007_000000.jpg" in said
    assert "1 images skipped" in said
    record = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert record["images"] == 6
    assert len(record["skipped"]) == 1
    assert 0 < record["AP"] <= record["AP50"] <= 1
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"metrics.json", "pr_curves.png", "confusion.png"}


def test_eval_names_classes_the_model_does_not_know(shared: Path, voc_checkpoint: Path) -> None:
    refused = edgessd("eval", voc_checkpoint, "--data", shared / "data" / "bccd", code=1)
    assert re.search(r"RBC.*Expected only aeroplane, bicycle", refused.paragraph)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("eval", "absent.pt", "--data", "."), "no file absent.pt"),
        (("eval", "absent", "--data", "."), "no model at absent"),
        (("compare", "a.pt", "--data", "."), "nothing to compare"),
    ],
)
def test_what_is_not_there_is_refused(arguments, reason: str) -> None:
    assert reason in edgessd(*arguments, code=1).paragraph


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
    # Rounding of float32 alone: nothing that AP could see.
    assert parity["agreement_AP"] == pytest.approx(1, abs=1e-3)
    assert parity["AP"] == pytest.approx(record["reference"]["AP"], abs=1e-3)
    assert parity["max_class_drift"] == pytest.approx(0, abs=1e-3)
    assert parity["raw_within_1_lsb"] is None
    unlabelled = edgessd(
        *("compare", voc_checkpoint, graph, "--data", some_of_voc / "JPEGImages", "--threads", "1")
    )
    assert "6 images, 0 with labels" in " ".join(unlabelled.err.split())


def test_a_model_that_decodes_by_itself_is_measured_with_its_own_settings(shared: Path) -> None:
    from edgessd.cli.open_model import open_measured

    model = shared / "data" / "google_ssd_mobilenet_v1_coco"
    opened = open_measured(model / "coco_ssd_mobilenet_v1_1.0_quant_2018_06_29.tflite", threads=1)
    assert opened.outputs == ()
    assert opened.nms.iou_threshold == 1.0
    assert "settings of its own" in opened.notes[-1]
    found = opened.run(np.zeros((64, 64, 3), np.uint8))
    assert found.raw == {}
