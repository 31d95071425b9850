"""The parity gate passes, refuses, or leaves the verdict open."""

from __future__ import annotations

import json
from collections.abc import Callable
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
from edgessd.quantize.recipe import ParityBound, RangeRule, Recipe
from edgessd.target.load import load_target

pytestmark = pytest.mark.slow

RequestFor = Callable[[str, ParityBound], BuildRequest]


@pytest.fixture(scope="module")
def exported(confident_checkpoint: Path) -> ExportedCheckpoint:
    return export_checkpoint(confident_checkpoint)


@pytest.fixture
def request_for(photos: Path, tmp_path: Path, cheap_recipe: Recipe) -> RequestFor:
    """Make the request of a build in `tmp_path` with a bound of its own."""

    def make(target: str, bound: ParityBound) -> BuildRequest:
        return BuildRequest(
            target=load_target(target),
            checkpoint=Path("unused.pt"),
            name="confident",
            out=tmp_path / "bundle",
            recipe=msgspec.structs.replace(cheap_recipe, parity=bound),
            images=lambda: images_in(photos, limit=16),
            cache=photos.parent / "gate-cache",
        )

    return make


@pytest.mark.parametrize("target", ["host", "android", "jetson-orin-nano"])
def test_an_engine_that_passes_is_written_with_its_measurement(
    exported: ExportedCheckpoint, tmp_path: Path, target: str, request_for: RequestFor
) -> None:
    bound = ParityBound(agreement=0.02, images=8, detections=5)
    result = build_bundle(request_for(target, bound), exported=exported)
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
    # The operator cuts at the contract's score, so detections just above it may be missing.
    cut = result.bundle.manifest.contract.nms.score_threshold + 0.1
    assert parity.score_threshold == pytest.approx(cut if target == "android" else 0.3)


def test_an_engine_that_fails_is_not_written_and_the_old_bundle_stays(
    exported: ExportedCheckpoint, tmp_path: Path, request_for: RequestFor
) -> None:
    loose = ParityBound(agreement=0, images=8, detections=5)
    build_bundle(request_for("host", loose), exported=exported)
    before = (tmp_path / "bundle" / "manifest.json").read_bytes()
    strict = ParityBound(agreement=1, images=8, detections=5)
    with pytest.raises(
        ParityError, match=r"at least 1 over 8 of the calibration .* lost and .*--no-gate"
    ):
        build_bundle(request_for("host", strict), exported=exported)
    assert (tmp_path / "bundle" / "manifest.json").read_bytes() == before


def test_a_broken_quantization_agrees_less(
    exported: ExportedCheckpoint, request_for: RequestFor
) -> None:
    bound = ParityBound(agreement=0, images=16, detections=5)
    request = request_for("host", bound)
    sound = build_bundle(request, exported=exported).bundle.manifest.parity
    clipped = msgspec.structs.replace(
        request.recipe, activations=RangeRule(method="percentile", percentile=60.0)
    )
    broken = build_bundle(
        replace(request, recipe=clipped), exported=exported
    ).bundle.manifest.parity
    assert sound is not None
    assert broken is not None
    assert sound.agreement_AP is not None
    assert broken.agreement_AP is not None
    assert broken.agreement_AP < sound.agreement_AP / 2


def test_too_few_objects_leave_the_verdict_open_after_all_images(
    exported: ExportedCheckpoint, request_for: RequestFor
) -> None:
    bound = ParityBound(agreement=1, images=2, detections=100_000)
    built = build_bundle(request_for("host", bound), exported=exported)
    parity = built.bundle.manifest.parity
    assert parity is not None
    assert (parity.verdict, parity.images, parity.agreement_AP) == ("undecided", 16, None)
    assert "in 16 calibration images; a verdict needs 100000" in parity.reason


def test_a_skipped_gate_is_recorded(exported: ExportedCheckpoint, request_for: RequestFor) -> None:
    request = request_for("host", ParityBound(agreement=1, detections=5))
    result = build_bundle(replace(request, gate=False), exported=exported)
    parity = result.bundle.manifest.parity
    assert parity is not None
    assert (parity.verdict, parity.reason) == ("skipped", "Built with --no-gate")
    assert "parity" not in result.seconds


def test_a_missing_engine_library_leaves_it_undecided(
    exported: ExportedCheckpoint, monkeypatch: pytest.MonkeyPatch, request_for: RequestFor
) -> None:
    from edgessd.runtime import tflite_backend

    def missing() -> str:
        raise BackendError("LiteRT isn't usable here")

    monkeypatch.setattr(tflite_backend, "library_version", missing)
    request = request_for("host", ParityBound(agreement=1))
    parity = build_bundle(request, exported=exported).bundle.manifest.parity
    assert parity is not None
    assert (parity.verdict, parity.reason) == ("undecided", "LiteRT isn't usable here")


def test_a_float_engine_needs_no_gate(
    exported: ExportedCheckpoint, request_for: RequestFor
) -> None:
    request = request_for("host-float", ParityBound())
    assert build_bundle(request, exported=exported).bundle.manifest.parity is None


def test_the_command_refuses_or_takes_no_gate(
    exported: ExportedCheckpoint, photos: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "strict.toml"
    recipe.write_text(
        'name = "strict"\nactivations = { method = "minmax" }\nparity = { agreement = 1.0 }\n'
    )
    arguments = (
        "build",
        "--target",
        "host",
        "--checkpoint",
        exported.path,
        "--calibration",
        photos,
    )
    arguments += ("--out", tmp_path / "bundle", "--recipe", recipe)
    refused = edgessd(*arguments, code=1)
    assert "finds other objects than its float graph" in refused.err
    assert not (tmp_path / "bundle").exists()
    ended = edgessd(*arguments, "--no-gate", "--json")
    assert json.loads(ended.out)["parity"]["verdict"] == "skipped"


@pytest.mark.parametrize("wrong", [{"agreement": 1.1}, {"images": 0}, {"detections": 0}])
def test_a_bound_outside_its_range_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="parity bound"):
        ParityBound(**wrong)
