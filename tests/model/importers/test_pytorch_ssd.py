"""An imported state dict of pytorch-ssd has the outputs of that project."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edgessd.core.anchors import anchor_boxes
from edgessd.core.errors import CheckpointError
from edgessd.model.checkpoint import load_model
from edgessd.model.importers.pytorch_ssd import anchor_spec, import_pytorch_ssd, read_labels

LABELS = tuple(f"class {index}" for index in range(20))


@pytest.fixture(scope="module")
def path(shared: Path) -> Path:
    return shared / "weights" / "pytorch_ssd" / "mb2-ssd-lite-random.pth"


def test_outputs_and_priors_match(path: Path) -> None:
    checkpoint = import_pytorch_ssd(path, ("BACKGROUND", *LABELS))
    assert checkpoint.contract.labels == LABELS
    spec = checkpoint.contract.preprocess
    with np.load(path.with_suffix(".npz")) as reference:
        pixels = torch.from_numpy(reference["image_rgb_uint8"]).float()
        with torch.inference_mode():
            box_codes, class_scores = load_model(checkpoint)((pixels - spec.mean[0]) / spec.std[0])
        np.testing.assert_allclose(box_codes.numpy(), reference["locations"], atol=1e-4, rtol=0)
        np.testing.assert_allclose(class_scores.numpy(), reference["logits"], atol=1e-4, rtol=0)
        priors = anchor_boxes(checkpoint.contract.anchors)
        np.testing.assert_allclose(priors, reference["priors_cxcywh"], atol=1e-6, rtol=0)


def test_centers_are_whole_pixel_distances_apart() -> None:
    boxes = anchor_boxes(anchor_spec())
    assert boxes[6, 0] - boxes[0, 0] == pytest.approx(16 / 300)


@pytest.mark.parametrize("labels", [LABELS[:-1], (*LABELS, "more", "still more"), ("x",) * 20])
def test_labels_that_do_not_fit_are_refused(path: Path, labels: tuple[str, ...]) -> None:
    with pytest.raises(CheckpointError, match="labels"):
        import_pytorch_ssd(path, labels)


def test_label_files(tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    file.write_text("BACKGROUND\ncat\n\n dog \n")
    assert read_labels(file) == ("BACKGROUND", "cat", "dog")
    file.write_text("\n")
    with pytest.raises(CheckpointError, match="names no class"):
        read_labels(file)
    with pytest.raises(CheckpointError, match="no labels file"):
        read_labels(tmp_path / "absent.txt")


def test_other_networks_and_missing_tensors_are_refused(path: Path, tmp_path: Path) -> None:
    state = torch.load(path, weights_only=True)
    other = tmp_path / "other.pth"
    for removed, message in (
        ("base_net.1.conv.0.weight", "another backbone"),
        ("classification_headers.0.0.weight", "isn't an mb2-ssd-lite"),
        ("extras.2.conv.4.running_var", r"extras\.2\.conv\.4\.running_var"),
        ("regression_headers.3.3.bias", r"regression_headers\.3\.3\.bias"),
    ):
        torch.save({name: value for name, value in state.items() if name != removed}, other)
        with pytest.raises(CheckpointError, match=message):
            import_pytorch_ssd(other, LABELS)
    torch.save(state | {"extras.0.conv.3.weight": torch.zeros(8, 1, 3, 3)}, other)
    with pytest.raises(CheckpointError, match="another shape"):
        import_pytorch_ssd(other, LABELS)
