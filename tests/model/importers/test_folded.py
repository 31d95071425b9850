"""The folded VOC detector equals its reference, and damaged folders are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from edgessd.core.anchors import anchor_boxes
from edgessd.core.errors import CheckpointError
from edgessd.model.checkpoint import Checkpoint, load_checkpoint, load_model, save_checkpoint
from edgessd.model.importers.folded import import_folded

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "weights" / "ssdlite_mobilenet_v2_voc"


@pytest.fixture(scope="module")
def checkpoint(folder: Path) -> Checkpoint:
    return import_folded(folder)


def test_outputs_equal_the_reference_after_saving(
    folder: Path, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / "voc.pt", checkpoint)
    model = load_model(load_checkpoint(tmp_path / "voc.pt"))
    with np.load(folder / "reference_outputs.npz") as reference:
        with torch.inference_mode():
            box_codes, class_scores = model(torch.from_numpy(reference["input_nchw"]))
        np.testing.assert_allclose(box_codes.numpy(), reference["box_codes"], atol=1e-4, rtol=0)
        # The reference holds probabilities; the model gives what stands before the sigmoid.
        scores = class_scores.sigmoid().numpy()
        np.testing.assert_allclose(scores, reference["scores"], atol=1e-5, rtol=0)


def test_contract_equals_the_graph(folder: Path, checkpoint: Checkpoint) -> None:
    contract = checkpoint.contract
    np.testing.assert_allclose(
        anchor_boxes(contract.anchors), np.load(folder / "anchors_cxcywh.npy"), atol=1e-6, rtol=0
    )
    assert contract.anchors.shapes_per_level == (3, 6, 6, 6, 6, 6)
    assert (contract.labels[0], len(contract.labels), contract.columns) == ("aeroplane", 20, 21)
    assert (contract.scoring.activation, contract.scoring.background) == ("sigmoid", True)
    assert contract.preprocess.mean == contract.preprocess.std == (127.5,) * 3
    assert (contract.preprocess.color, contract.preprocess.resize) == ("RGB", "stretch")
    config = checkpoint.config
    assert [(extra.squeeze, extra.channels) for extra in config.extras] == [
        (256, 512),
        (128, 256),
        (128, 256),
        (64, 128),
    ]
    assert (config.width, config.padding, config.batch_norm) == (1.0, "same", None)


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    for name in ("graph.json", "weights.npz"):
        shutil.copy(folder / name, tmp_path / name)
        (tmp_path / name).chmod(0o644)
    return tmp_path


def edited(copy: Path, **changes: object) -> None:
    graph = json.loads((copy / "graph.json").read_text())
    (copy / "graph.json").write_text(json.dumps(graph | changes))


def test_damage_is_refused(copy: Path) -> None:
    whole = (copy / "weights.npz").read_bytes()
    (copy / "weights.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"weights\.npz can't be read"):
        import_folded(copy)
    (copy / "weights.npz").write_bytes(whole[:4_000_000] + bytes(1000) + whole[4_001_000:])
    with pytest.raises(CheckpointError, match=r"weights\.npz can't be read"):
        import_folded(copy)
    (copy / "weights.npz").unlink()
    with pytest.raises(CheckpointError, match=r"no weights\.npz"):
        import_folded(copy)
    (copy / "graph.json").write_text("{")
    (copy / "weights.npz").touch()
    with pytest.raises(CheckpointError, match=r"graph\.json can't be read"):
        import_folded(copy)


def test_contradictions_are_refused(copy: Path) -> None:
    graph = json.loads((copy / "graph.json").read_text())
    layers = graph["layers"]
    stem_wider = [layers[0] | {"out_channels": 40}, *layers[1:]]
    ratios = graph["anchors"] | {"ratios": [[2, 3]] * 6}
    maps = [graph["feature_maps"][0] | {"size": 20}, *graph["feature_maps"][1:]]
    for changes, message in (
        ({"layers": stem_wider}, "Conv/weight as float32"),
        ({"layers": layers[:-1]}, "other layers"),
        ({"anchors": ratios}, "5 from its sides and ratios"),
        ({"feature_maps": maps}, "don't fit the network's feature maps"),
        ({"classes": graph["classes"][:-1]}, "mbox_conf/weight"),
        ({"anchors": None}, "doesn.t hold a detector"),
        ({"padding": "valid"}, "padding is unknown"),
        ({"class_scores": "raw"}, "scoring is unknown"),
        ({"box_code": "corners"}, "box code is unknown"),
        ({"input": graph["input"] | {"resize": "crop"}}, "resized in an unknown way"),
        ({"input": graph["input"] | {"color": "YUV"}}, "can't be read"),
        ({"layers": [layers[0] | {"activation": "swish"}, *layers[1:]]}, "activation swish"),
    ):
        edited(copy, **(graph | changes))
        with pytest.raises(CheckpointError, match=message):
            import_folded(copy)


def test_a_backbone_is_refused_as_detector(shared: Path) -> None:
    with pytest.raises(CheckpointError, match="edgessd train --weights"):
        import_folded(shared / "weights" / "mobilenet_v2_imagenet_tf")
