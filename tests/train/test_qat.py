"""Quantization-aware training: from the run of a float detector to a bundle."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from block_scenes import tiny_config, write_coco
from command_line import TWO_PROCESSES, edgessd
from msgspec.structs import replace

from edgessd.core.errors import CalibrationError, CheckpointError, ConfigError
from edgessd.data.dataset import load_dataset
from edgessd.graph.export import export_float_graph
from edgessd.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgessd.quantize.float_passes.apply import as_quantizable
from edgessd.quantize.qat.network import QatNetwork
from edgessd.quantize.qat.trained import quantize_trained
from edgessd.quantize.qdq.names import scale
from edgessd.quantize.recipe import load_recipe
from edgessd.quantize.schemes import SCHEMES
from edgessd.train.config import QatSettings, TrainConfig, load_config
from edgessd.train.qat import start_qat
from edgessd.train.reporter import Reporter
from edgessd.train.run import train

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 20 training scenes, enough to calibrate on, and 4 validation scenes."""
    return write_coco(
        tmp_path_factory.mktemp("scenes"), {"train": range(200, 220), "val": range(300, 304)}
    )


@pytest.fixture(scope="module")
def float_run(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("float") / "run"
    train(tiny_config(scenes, optimize={"epochs": 1}, augment={"crop": 0.25}), folder)
    return folder


@pytest.fixture(scope="module")
def cheap_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe without passes and searches, for tests whose subject is the training."""
    path = tmp_path_factory.mktemp("recipe") / "cheap.toml"
    path.write_text('name = "cheap"\n[activations]\nmethod = "minmax"\n')
    return path


@pytest.fixture(scope="module")
def qat_config(float_run: Path, scenes: Path, cheap_recipe: Path) -> TrainConfig:
    return tiny_config(
        scenes,
        model={"weights": str(float_run / "best.pt")},
        optimize={"epochs": 2, "batch": 4, "warmup_steps": 1, "lr": 1e-3, "ema_ramp": 2},
        qat={"enabled": True, "labels": 0.5, "recipe": str(cheap_recipe)},
    )


@pytest.fixture(scope="module")
def trained(qat_config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs, ten steps, without interruption."""
    folder = tmp_path_factory.mktemp("qat") / "run"
    assert train(qat_config, folder).finished
    return folder


def test_the_checkpoint_has_trained_weights_and_ranges(
    trained: Path, qat_config: TrainConfig, scenes: Path, float_run: Path
) -> None:
    checkpoint = load_checkpoint(trained / "best.pt")
    ranges = checkpoint.trained_ranges
    assert ranges is not None
    assert ranges.schemes == ("affine", "symmetric")
    assert (ranges.calibration.images, ranges.calibration.recipe) == (20, "cheap, then trained")
    assert (ranges.audit.images, ranges.audit.worst_saturation) == (20, None)
    assert checkpoint.config.batch_norm is None
    assert checkpoint.contract.preprocess.mean == (128.0, 128.0, 128.0)
    assert checkpoint.provenance["quantization_aware"] == "affine, symmetric"
    assert load_checkpoint(float_run / "best.pt").trained_ranges is None
    network = _start(qat_config, scenes)
    before = network.ranges()
    assert before.keys() == ranges.ranges.keys()
    moved = [name for name, limits in before.items() if limits != ranges.ranges[name]]
    assert len(moved) > 0.9 * len(before)
    assert "image" not in moved
    state = network.state_of_float()
    assert state.keys() == checkpoint.state.keys()
    assert not torch.equal(
        state["backbone.stem.conv.weight"], checkpoint.state["backbone.stem.conv.weight"]
    )


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_every_scheme_is_quantized_from_the_one_checkpoint(trained: Path, scheme: str) -> None:
    checkpoint = load_checkpoint(trained / "best.pt")
    assert checkpoint.trained_ranges is not None
    graph = export_float_graph(checkpoint)
    built = quantize_trained(as_quantizable(graph), scheme=scheme, recipe=load_recipe("default"))
    initializers = {t.name: t for t in built.model.graph.initializer}
    ranges = {
        scale(name): limits
        for name, limits in checkpoint.trained_ranges.ranges.items()
        if scale(name) in initializers
    }
    assert len(ranges) > 20
    for name, (low, high) in ranges.items():
        # The image's integers are its pixels minus 128, in both schemes.
        is_image = name == scale("image")
        expected = 1 / 128 if is_image else SCHEMES[scheme].params(low, high).scale
        found = np.frombuffer(initializers[name].raw_data, np.float32)[0]
        assert found == np.float32(expected), name


def _start(config: TrainConfig, scenes: Path) -> QatNetwork:
    dataset = load_dataset(scenes)
    initial, _ = start_qat(config, dataset, dataset.split("train"))
    assert isinstance(initial.model, QatNetwork)
    return initial.model


class Interrupter(Reporter):
    """Request a stop at step 7."""

    def step_done(self, position: object, row: object, progress: float) -> None:
        if getattr(position, "step", 0) == 7:
            signal.raise_signal(signal.SIGTERM)


def test_an_interrupted_training_resumes_exactly(
    trained: Path, qat_config: TrainConfig, tmp_path: Path
) -> None:
    assert not train(qat_config, tmp_path / "run", reporter=Interrupter(None)).finished
    assert train(qat_config, tmp_path / "run", resume=True).finished
    straight, resumed = (load_checkpoint(run / "last.pt") for run in (trained, tmp_path / "run"))
    assert straight.trained_ranges == resumed.trained_ranges
    assert all(torch.equal(straight.state[name], resumed.state[name]) for name in straight.state)


def test_from_the_command_line_to_a_bundle(float_run: Path, scenes: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    ended = edgessd(
        *("train", "--qat", "--qat-scheme", "affine", "--weights", float_run / "best.pt"),
        *("--out", run, "--epochs", 1, "--batch", 4, "--threads", 1, "--json"),
    )
    record = json.loads(ended.out)
    assert (record["steps"], record["finished"]) == (5, True)
    config = load_config(run / "config.toml")
    # Settings that aren't given are those of the float run.
    assert (config.data.path, config.augment.crop) == (str(scenes), 0.25)
    assert (config.optimize.lr, config.qat.scheme) == (1e-4, "affine")
    built = edgessd(
        *("build", "--target", "android", "--checkpoint", run, "--out", tmp_path / "bundle"),
        *("--no-gate", "--json"),
    )
    built_record = json.loads(built.out)
    assert "calibrate" not in built_record["stages"]
    assert built_record["recipe"] == "default, then trained"
    audit = built_record["calibration"]
    assert (audit["images"], audit["distinct"], audit["leaked"]) == (20, 20, 0)
    assert audit["compared_with"] == "scenes0, val"
    assert any("Only 20 different" in warning for warning in audit["warnings"])
    refused = edgessd(
        *("build", "--target", "jetson-orin-nano", "--checkpoint", run),
        *("--out", tmp_path / "other", "--no-gate"),
        code=1,
    )
    assert "another quantization scheme than symmetric" in refused.err.replace("\n", " ")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--qat"], 1, "starts from a trained detector"),
        (["--qat", "--weights", "gone.pt"], 1, "gone.pt"),
        (["--qat-scheme", "affine"], 2, "need --qat"),
    ],
)
def test_refusals(
    scenes: Path,
    tmp_path: Path,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    ended = edgessd("train", "--data", scenes, "--out", tmp_path / "run", *arguments, code=code)
    assert message in ended.err.replace("\n", " ")


def test_unusable_checkpoints_are_refused(
    trained: Path, qat_config: TrainConfig, scenes: Path
) -> None:
    dataset = load_dataset(scenes)
    with pytest.raises(CheckpointError, match="other labels than the dataset"):
        start_qat(qat_config, dataclasses.replace(dataset, labels=("cat", "dog")), ())
    again = replace(qat_config, model=replace(qat_config.model, weights=str(trained / "best.pt")))
    with pytest.raises(CheckpointError, match="comes from quantization-aware training"):
        start_qat(again, dataset, ())
    with pytest.raises(ConfigError, match="has no loss"):
        QatSettings(labels=0.0, teacher=0.0)


def test_copies_and_evaluation_images_are_refused_for_calibration(
    qat_config: TrainConfig, scenes: Path, cheap_recipe: Path, tmp_path: Path
) -> None:
    dataset = load_dataset(scenes)
    evaluated = [image.path for image in dataset.split("val")]
    (copies := tmp_path / "copies").mkdir()
    for number in range(16):
        shutil.copy(dataset.split("train")[0].path, copies / f"{number}.png")
    (leaked := tmp_path / "leaked").mkdir()
    for image in (*evaluated, *(image.path for image in dataset.split("train")[:3])):
        shutil.copy(image, leaked)

    def start(folder: Path, recipe: str) -> None:
        qat = replace(qat_config.qat, calibration=str(folder), recipe=recipe)
        start_qat(replace(qat_config, qat=qat), dataset, dataset.split("train"))

    with pytest.raises(CalibrationError, match="copies of too few"):
        start(copies, str(cheap_recipe))
    small = tmp_path / "small.toml"
    small.write_text('name = "small"\nminimum_images = 2\n[activations]\nmethod = "minmax"\n')
    with pytest.raises(CalibrationError, match="would flatter it"):
        start(leaked, str(small))


@pytest.mark.process
def test_two_processes_train_one_quantized_network(
    float_run: Path, cheap_recipe: Path, tmp_path: Path
) -> None:
    """torchrun on the CPU: both processes share the epoch and alternate the schemes alike."""
    run = tmp_path / "run"
    (settings := tmp_path / "settings.toml").write_text(f"[qat]\nrecipe = {str(cheap_recipe)!r}\n")
    words = ("--batch", 2, "--epochs", 2, "--threads", 1, "--device", "cpu", "--json")
    record = edgessd(
        *("train", "--qat", "--weights", float_run / "best.pt", "--config", settings),
        *("--out", run, *words),
        own_process=True,
        launcher=TWO_PROCESSES,
    ).json
    # 20 images, 2 processes of 2 images a step: 5 steps an epoch.
    assert (record["epochs"], record["steps"]) == (2, 10)
    state = torch.load(run / "state.pt", weights_only=True)
    assert (state["position"]["images"], int(state["model"]["batches"])) == (40, 10)
    checkpoint = load_checkpoint(run / "best.pt")
    graph = export_float_graph(checkpoint)
    for scheme in SCHEMES:
        quantize_trained(as_quantizable(graph), scheme=scheme, recipe=load_recipe("default"))


def test_unreadable_ranges_are_refused(trained: Path, tmp_path: Path) -> None:
    content = torch.load(trained / "best.pt", weights_only=True)
    content["trained_ranges"] = '{"schemes": ["affine"], "ranges": {}}'
    torch.save(content, tmp_path / "broken.pt")
    with pytest.raises(CheckpointError, match="calibration"):
        load_checkpoint(tmp_path / "broken.pt")


def test_the_teachers_own_outputs_have_no_loss(qat_config: TrainConfig, scenes: Path) -> None:
    """The default recipe, whose float passes scale the box codes."""
    config = replace(qat_config, qat=replace(qat_config.qat, labels=0.0, recipe="default"))
    dataset = load_dataset(scenes)
    _, method = start_qat(config, dataset, dataset.split("train"))
    batch = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        codes, scores = method.teacher(batch)
        ids = torch.full(codes.shape[:2], -1)
        equal = method.losses(batch, codes, scores, ids, torch.zeros_like(codes))
        other = method.losses(batch, codes + 1, scores * 0.5, ids, torch.zeros_like(codes))
    assert equal.total.item() == pytest.approx(0, abs=1e-4)
    assert other.boxes.item() > 0.1
    assert other.classes.item() > 0.01


def test_a_float_checkpoint_has_no_ranges(float_run: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(float_run / "best.pt")
    save_checkpoint(tmp_path / "copy.pt", checkpoint)
    assert isinstance(checkpoint, Checkpoint)
    assert "trained_ranges" not in torch.load(tmp_path / "copy.pt", weights_only=True)
