"""The gate at the end of a build: what passes, what is refused, and what can't be told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from command_line import edgessd

from edgessd.build.build_bundle import (
    BuildRequest,
    ExportedCheckpoint,
    build_bundle,
    export_checkpoint,
)
from edgessd.build.calibration_images import images_in
from edgessd.bundle.store import open_bundle
from edgessd.core.errors import BackendError, ConfigError, ParityError
from edgessd.quantize.recipe import ParityBound, RangeRule, load_recipe
from edgessd.target.load import load_target


@pytest.fixture(scope="module")
def eager(confident_checkpoint: Path) -> ExportedCheckpoint:
    return export_checkpoint(confident_checkpoint)


def request_for(target: str, photos: Path, out: Path, bound: ParityBound) -> BuildRequest:
    recipe = msgspec.structs.replace(load_recipe("default"), parity=bound)
    return BuildRequest(
        target=load_target(target),
        checkpoint=Path("unused.pt"),
        name="eager",
        out=out / "bundle",
        recipe=recipe,
        images=lambda: images_in(photos, limit=16),
        cache=photos.parent / "gate-cache",
    )


@pytest.mark.parametrize("target", ["host", "android", "jetson-orin-nano"])
def test_what_passes_is_written_with_its_proof(
    eager: ExportedCheckpoint, photos: Path, tmp_path: Path, target: str
) -> None:
    bound = ParityBound(agreement=0.02, images=8, detections=5)
    result = build_bundle(request_for(target, photos, tmp_path, bound), exported=eager)
    assert result.seconds["parity"] > 0
    parity = open_bundle(tmp_path / "bundle").manifest.parity
    assert parity is not None
    assert (parity.verdict, parity.reason, parity.bound) == ("passed", "", 0.02)
    assert parity.agreement_AP is not None
    assert 0.02 <= parity.agreement_AP <= 1
    assert (parity.images, parity.data) == (8, "calibration images")
    assert parity.detections >= 5
    assert len(parity.images_sha256) == 64
    assert parity.reference.startswith("onnxruntime, onnxruntime ")
    assert parity.engine.startswith("onnxruntime" if "jetson" in target else "litert, ")
    # The op cuts at the contract's score, so what lies just above isn't asked of it.
    cut = result.bundle.manifest.contract.nms.score_threshold + 0.1
    assert parity.score_threshold == pytest.approx(cut if target == "android" else 0.3)


def test_what_fails_is_not_written_and_leaves_the_old_bundle(
    eager: ExportedCheckpoint, photos: Path, tmp_path: Path
) -> None:
    loose = ParityBound(agreement=0, images=8, detections=5)
    build_bundle(request_for("host", photos, tmp_path, loose), exported=eager)
    before = (tmp_path / "bundle" / "manifest.json").read_bytes()
    strict = ParityBound(agreement=1, images=8, detections=5)
    with pytest.raises(
        ParityError, match=r"at least 1 over 8 of the calibration .* lost and .*--no-gate"
    ):
        build_bundle(request_for("host", photos, tmp_path, strict), exported=eager)
    assert (tmp_path / "bundle" / "manifest.json").read_bytes() == before


def test_a_broken_quantization_agrees_less(
    eager: ExportedCheckpoint, photos: Path, tmp_path: Path
) -> None:
    bound = ParityBound(agreement=0, images=16, detections=5)
    request = request_for("host", photos, tmp_path, bound)
    sound = build_bundle(request, exported=eager).bundle.manifest.parity
    clipped = msgspec.structs.replace(
        request.recipe, activations=RangeRule(method="percentile", percentile=60.0)
    )
    broken = build_bundle(replace(request, recipe=clipped), exported=eager).bundle.manifest.parity
    assert sound is not None
    assert broken is not None
    assert sound.agreement_AP is not None
    assert broken.agreement_AP is not None
    assert broken.agreement_AP < sound.agreement_AP / 2


def test_too_little_to_see_is_said_and_all_images_were_tried(
    eager: ExportedCheckpoint, photos: Path, tmp_path: Path
) -> None:
    bound = ParityBound(agreement=1, images=2, detections=100_000)
    built = build_bundle(request_for("host", photos, tmp_path, bound), exported=eager)
    parity = built.bundle.manifest.parity
    assert parity is not None
    assert (parity.verdict, parity.images, parity.agreement_AP) == ("undecided", 16, None)
    assert "in 16 calibration images; a verdict needs 100000" in parity.reason


def test_no_gate_is_written_down(eager: ExportedCheckpoint, photos: Path, tmp_path: Path) -> None:
    request = request_for("host", photos, tmp_path, ParityBound(agreement=1, detections=5))
    result = build_bundle(replace(request, gate=False), exported=eager)
    parity = result.bundle.manifest.parity
    assert parity is not None
    assert (parity.verdict, parity.reason) == ("skipped", "Built with --no-gate")
    assert "parity" not in result.seconds


def test_a_missing_engine_library_leaves_it_undecided(
    eager: ExportedCheckpoint, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgessd.runtime import tflite_backend

    def missing() -> str:
        raise BackendError("LiteRT isn't usable here")

    monkeypatch.setattr(tflite_backend, "library_version", missing)
    request = request_for("host", photos, tmp_path, ParityBound(agreement=1))
    parity = build_bundle(request, exported=eager).bundle.manifest.parity
    assert parity is not None
    assert (parity.verdict, parity.reason) == ("undecided", "LiteRT isn't usable here")


def test_a_float_engine_needs_no_gate(
    eager: ExportedCheckpoint, photos: Path, tmp_path: Path
) -> None:
    request = request_for("host-float", photos, tmp_path, ParityBound())
    assert build_bundle(request, exported=eager).bundle.manifest.parity is None


def test_the_command_refuses_or_takes_no_gate(
    eager: ExportedCheckpoint, photos: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "strict.toml"
    recipe.write_text(
        'name = "strict"\nactivations = { method = "minmax" }\nparity = { agreement = 1.0 }\n'
    )
    arguments = ("build", "--target", "host", "--checkpoint", eager.path, "--calibration", photos)
    arguments += ("--out", tmp_path / "bundle", "--recipe", recipe)
    refused = edgessd(*arguments, code=1)
    assert "finds other objects than its float graph" in refused.err
    assert not (tmp_path / "bundle").exists()
    ended = edgessd(*arguments, "--no-gate", "--json")
    assert json.loads(ended.out)["parity"]["verdict"] == "skipped"


@pytest.mark.parametrize("wrong", [{"agreement": 1.1}, {"images": 0}, {"detections": 0}])
def test_a_bound_that_means_nothing_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="parity bound"):
        ParityBound(**wrong)
