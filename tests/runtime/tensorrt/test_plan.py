"""Plans that are opened: their version, GPU, record and bundle."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import msgspec
import pytest

from edgessd.bundle.store import Bundle, describe_engine, write_bundle
from edgessd.core.errors import BackendError
from edgessd.runtime.catalog import open_engine
from edgessd.runtime.tensorrt.gpu import GpuIdentity
from edgessd.runtime.tensorrt.plan import matching_provider, read_plan, require_gpu
from edgessd.runtime.tensorrt.provider import Provider

ADA = GpuIdentity(name="RTX 4090", capability=(8, 9), total_memory=24 << 30, unified=False)


@pytest.fixture(scope="module")
def jetson(tiny_bundles: dict[str, Bundle]) -> Bundle:
    return tiny_bundles["jetson-orin-nano"]


def test_an_engine_of_another_version_names_both_and_the_next_command(plan: Path) -> None:
    record = json.loads(plan.with_suffix(".json").read_text())
    found = record["key"]["version"]
    record["key"]["version"] = "1.3.0.30"
    plan.with_suffix(".json").write_text(json.dumps(record))
    with pytest.raises(BackendError) as caught:
        open_engine(plan, "tensorrt")
    text = str(caught.value)
    assert "Expected tensorrt_rtx 1.3.0.30" in text
    assert f"Found tensorrt_rtx {found}" in text
    assert "edgessd build --finish BUNDLE" in text


def test_trtexecs_three_numbers_match_the_bindings_four(plan: Path, rtx: Provider) -> None:
    known = read_plan(plan)
    short = ".".join(map(str, rtx.version[:3]))
    assert matching_provider(dataclasses.replace(known, version=short)) == rtx


def test_opening_a_plan_without_a_driver_is_refused(plan: Path, no_gpu) -> None:
    pytest.importorskip("cuda.bindings.runtime", reason="needs cuda-python")
    with pytest.raises(BackendError, match="CUDA doesn't run on this machine"):
        open_engine(plan, "tensorrt")


def test_a_plan_that_was_changed_is_not_opened(plan: Path) -> None:
    plan.write_bytes(b"nalp")
    with pytest.raises(BackendError, match="changed or cut off since it was compiled"):
        open_engine(plan, "tensorrt")


def test_a_plan_without_a_record_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "engine.plan"
    path.write_bytes(b"plan")
    with pytest.raises(BackendError, match=r"no readable record"):
        open_engine(path, "tensorrt")


def test_a_plan_in_a_bundle_is_described_by_its_manifest(
    jetson: Bundle, tmp_path: Path, rtx: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGESSD_CACHE", str(tmp_path / "cache"))
    finish = jetson.manifest.finish
    assert finish is not None
    engine = describe_engine(
        "engine.plan", b"plan", format="tensorrt", inputs=finish.inputs, outputs=finish.outputs
    )

    def write(tools: dict[str, str]) -> Path:
        provenance = msgspec.structs.replace(jetson.manifest.provenance, tools=tools)
        manifest = msgspec.structs.replace(
            jetson.manifest, engine=engine, needs_finish=False, finish=None, provenance=provenance
        )
        write_bundle(tmp_path / "bundle", manifest, b"plan")
        return tmp_path / "bundle" / "engine.plan"

    described = read_plan(write({rtx.name: rtx.version_text}))
    assert (described.provider, described.version) == (rtx.name, rtx.version_text)
    assert (described.image, described.outputs) == (finish.inputs[0], finish.outputs)
    assert described.gpu == ""
    require_gpu(described, ADA)
    # TensorRT-RTX's kernels of this machine don't go into the bundle.
    assert described.kernels.parent == tmp_path / "cache" / "engines"
    with pytest.raises(BackendError, match=r"doesn't name the compiler of engine\.plan"):
        read_plan(write({"onnx": "1.20"}))
