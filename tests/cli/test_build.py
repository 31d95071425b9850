"""`edgessd build`: build a bundle from a checkpoint, or refuse with the reason."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from command_line import edgessd

from edgessd.bundle.store import open_bundle
from edgessd.cli.build import checkpoint_name, choose_checkpoint

pytestmark = pytest.mark.slow

# The tiny detector is untrained, so its detections prove nothing; the recipe without passes is quick.
BUILD = ("build", "--no-gate", "--recipe", "average", "--target")


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_build_reports_its_bundle_and_its_stages(
    work: Path, tiny_checkpoint: Path, photos: Path
) -> None:
    ended = edgessd(
        *BUILD, "raspberry-pi", "--checkpoint", tiny_checkpoint,
        "--calibration", photos, "--json",
    )  # fmt: skip
    output = json.loads(ended.out)
    assert output["bundle"] == "dist/tiny-raspberry-pi"
    assert output["engine"] == "dist/tiny-raspberry-pi/engine.tflite"
    assert output["needs_finish"] is False
    assert output["seconds"] >= sum(output["stages"].values()) - 0.1
    assert list(output["stages"]) == [
        "load",
        "export",
        "calibrate",
        "quantize",
        "audit",
        "lower",
        "bundle",
    ]
    manifest = open_bundle(work / output["bundle"]).manifest
    assert (manifest.name, manifest.target, manifest.scheme) == ("tiny", "raspberry-pi", "affine")
    calibration = manifest.provenance.calibration
    assert calibration is not None
    assert (calibration.images, len(calibration.images_sha256)) == (16, 64)
    assert manifest.provenance.checkpoint.endswith("/tiny.pt")
    assert manifest.provenance.tools["onnx"] != "unknown"


def test_an_unfinished_bundle_is_reported_as_unfinished(
    work: Path, tiny_checkpoint: Path, photos: Path
) -> None:
    ended = edgessd(
        *BUILD, "jetson", "--checkpoint", tiny_checkpoint, "--name", "pets",
        "--calibration", photos, "--calibration-images", "15", "--force-small", "--json",
    )  # fmt: skip
    output = json.loads(ended.out)
    assert (output["needs_finish"], output["target"]) == (True, "jetson-orin-nano")
    assert output["advice"][0].startswith("backbone.stem.conv: 3 channels in and 16 out")
    assert output["engine"] == "dist/pets-jetson/qdq.onnx"
    assert output["calibration_images"] == 15
    manifest = open_bundle(work / output["bundle"]).manifest
    assert manifest.finish is not None
    assert manifest.finish.precision == "int8"
    assert manifest.finish.strongly_typed.file == "qdq.fp16.onnx"
    assert [spec.dtype for spec in manifest.finish.inputs] == ["int8"]


def test_a_jetson_bundle_is_printed_with_its_advice_and_its_next_step(
    work: Path, tiny_checkpoint: Path, photos: Path
) -> None:
    ended = edgessd(
        *BUILD, "jetson", "--checkpoint", tiny_checkpoint,
        "--calibration", photos, "--max-drop", "0.95",
    )  # fmt: skip
    assert "the target is jetson-orin-nano" in ended.err
    assert "No tensor stays float: the loss of agreement AP in int8 is 0." in ended.err
    assert "Could be faster: backbone.stem.conv: 3 channels in and 16 out" in ended.err
    assert "Next, on the device: edgessd build --finish tiny-jetson" in ended.err


def test_a_nano_refuses_int8_and_gets_fp16(work: Path, tiny_checkpoint: Path) -> None:
    words = (*BUILD, "jetson-nano", "--checkpoint", tiny_checkpoint)
    refused = edgessd(*words, "--precision", "int8", code=1)
    assert "offers no INT8 on its Maxwell GPU" in " ".join(refused.err.split())
    assert not (work / "dist").exists()
    ended = edgessd(*words, "--json")
    output = json.loads(ended.out)
    assert (output["scheme"], output["engine"]) == ("float", "dist/tiny-jetson-nano/engine.onnx")


def test_precision_is_for_tensorrt_alone(work: Path, tiny_checkpoint: Path) -> None:
    ended = edgessd(*BUILD, "host", "--checkpoint", tiny_checkpoint, "--precision", "fp16", code=1)
    assert "The engine of host can't be fp16" in " ".join(ended.err.split())


@pytest.mark.parametrize("postprocess", ["raw", "op"])
def test_an_rtx_engine_is_compiled_without_a_gpu(
    work: Path, tiny_checkpoint: Path, photos: Path, postprocess: str
) -> None:
    pytest.importorskip("tensorrt_rtx")
    ended = edgessd(
        *BUILD, "rtx", "--checkpoint", tiny_checkpoint, "--calibration", photos,
        "--postprocess", postprocess, "--json",
    )  # fmt: skip
    output = json.loads(ended.out)
    assert output["needs_finish"] is False
    manifest = open_bundle(work / output["bundle"]).manifest
    assert manifest.engine.format == "tensorrt"
    assert manifest.provenance.tools["tensorrt_rtx"].startswith("1.")
    # The engine needs a GPU; the graph it was compiled from runs anywhere.
    refused = edgessd("run", "--model", output["bundle"], "--source", photos, code=1)
    assert "--backend onnxruntime" in refused.err
    words = ("run", "--model", output["bundle"], "--source", photos, "--backend", "onnxruntime")
    edgessd(*words)


def test_stages_and_open_work_are_printed(work: Path, tiny_checkpoint: Path, photos: Path) -> None:
    ended = edgessd(*BUILD, "coral", "--checkpoint", tiny_checkpoint, "--calibration", photos)
    assert ended.out == ""
    assert "calibrate" in ended.err
    assert "Not done: The .tflite is fully integer but not compiled for the Edge TPU" in ended.err
    assert "Next: edgessd bench --model dist/tiny-coral" in ended.err


def test_four_images_are_refused_with_the_reason(
    work: Path, tiny_checkpoint: Path, photos: Path
) -> None:
    few = work / "few"
    few.mkdir()
    for path in sorted(photos.iterdir())[:4]:
        shutil.copy(path, few)
    arguments = (*BUILD, "host", "--checkpoint", tiny_checkpoint, "--calibration", few)
    ended = edgessd(*arguments, code=1)
    assert "too few calibration images" in ended.err
    assert "Found 4 images" in ended.err
    assert "--force-small" in ended.err
    assert "export" not in ended.err, "the refusal must come before the export"
    assert not (work / "dist").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--target", "rasberry-pi"), "There is no target"),
        (("--target", "host", "--checkpoint", "absent.pt"), "There is no file absent.pt"),
        (("--target", "host", "--checkpoint", "text.pt"), "isn't a checkpoint"),
        (("--target", "host", "--recipe", "absent"), "There is no recipe"),
        (("--target", "host", "--calibration", "absent"), "There is no folder absent"),
        (("--target", "host-float", "--postprocess", "op"), "can't end in the detection"),
        (("--target", "host", "--out", "thesis"), "holds something else"),
    ],
)
def test_refusals_are_one_paragraph(
    work: Path,
    tiny_checkpoint: Path,
    photos: Path,
    arguments: tuple[str, ...],
    reason: str,
) -> None:
    (work / "text.pt").write_text("not a checkpoint")
    (work / "thesis").mkdir()
    (work / "thesis" / "chapter.tex").write_text("years of work")
    if "--checkpoint" not in arguments:
        arguments += ("--checkpoint", str(tiny_checkpoint))
    if "--calibration" not in arguments:
        arguments += ("--calibration", str(photos))
    ended = edgessd("build", *arguments, code=1)
    assert reason in " ".join(ended.err.split())
    assert (work / "thesis" / "chapter.tex").exists()


def test_without_checkpoint_the_newest_run_is_built(work: Path) -> None:
    for age, name in enumerate(("new", "old")):
        path = work / "runs" / name / "best.pt"
        path.parent.mkdir(parents=True)
        path.touch()
        os.utime(path, (1e9 - age, 1e9 - age))
    assert choose_checkpoint(None, work) == (Path("runs/new/best.pt"), False)
    assert choose_checkpoint(work / "runs" / "old", work) == (work / "runs/old/best.pt", False)


def test_a_missing_checkpoint_is_named(work: Path) -> None:
    ended = edgessd("build", "--target", "host", "--checkpoint", "absent.pt", code=1)
    assert "There is no file absent.pt" in ended.err


def test_names_come_from_the_run(tmp_path: Path) -> None:
    assert checkpoint_name(Path("runs/cells/best.pt"), is_starter=False) == "cells"
    assert checkpoint_name(Path("downloads/cells.pt"), is_starter=False) == "cells"
    assert checkpoint_name(tmp_path / "codes.pt", is_starter=True) == "codes"


def test_without_starter_the_way_out_is_named(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgessd.runtime import starter

    monkeypatch.setattr(starter, "resource_directory", lambda name: work / "nowhere")
    ended = edgessd(*BUILD, "host", code=1)
    assert "this installation lacks the starter model" in ended.paragraph
    assert "--checkpoint for build" in ended.paragraph
