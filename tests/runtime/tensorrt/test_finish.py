"""Finishing bundles, up to the point that needs a GPU."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edgessd.bundle.store import Bundle
from edgessd.core.errors import BackendError, BundleError, TargetError
from edgessd.runtime.tensorrt import finish as finish_module
from edgessd.runtime.tensorrt.compile import compile_engine
from edgessd.runtime.tensorrt.compiled_engine import CompiledEngine
from edgessd.runtime.tensorrt.finish import finish_bundle
from edgessd.runtime.tensorrt.gpu import GpuIdentity
from edgessd.runtime.tensorrt.options import EngineOptions
from edgessd.runtime.tensorrt.plan import matching_provider, read_plan, require_gpu
from edgessd.runtime.tensorrt.provider import Provider
from edgessd.target.load import load_target
from edgessd.target.spec import TargetSpec

pytestmark = pytest.mark.slow

ADA = GpuIdentity(name="RTX 4090", capability=(8, 9), total_memory=24 << 30, unified=False)
NANO = GpuIdentity(name="NVIDIA Tegra X1", capability=(5, 3), total_memory=4 << 30, unified=True)


@pytest.fixture(scope="module")
def jetson(tiny_bundles: dict[str, Bundle]) -> Bundle:
    return tiny_bundles["jetson-orin-nano"]


@pytest.fixture(scope="module")
def orin() -> TargetSpec:
    return load_target("jetson-orin-nano")


def on(gpu: GpuIdentity, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let finish_bundle find this GPU and this library."""
    monkeypatch.setattr(finish_module, "identify_gpu", lambda: gpu)
    monkeypatch.setattr(finish_module, "find_provider", lambda name: provider)


def test_a_complete_bundle_needs_no_finishing(tiny_bundles, orin: TargetSpec) -> None:
    with pytest.raises(BundleError, match=r"needs no finishing.*engine\.tflite, complete as it is"):
        finish_bundle(tiny_bundles["android"], orin)


def test_a_bundle_of_another_kind_of_target_is_refused(tiny_bundles) -> None:
    with pytest.raises(TargetError, match=r"for android, on which TensorRT doesn't run.*a tflite"):
        finish_bundle(tiny_bundles["android"], load_target("android"))


def test_int8_for_a_target_without_it_is_refused_with_the_targets_reason(jetson: Bundle) -> None:
    nano = load_target("jetson-nano")
    assert nano.tensorrt is not None
    with pytest.raises(TargetError) as caught:
        finish_bundle(jetson, nano)
    assert nano.tensorrt.int8_reason.rstrip(".") in str(caught.value)
    assert "edgessd build --target jetson-nano" in str(caught.value)


def test_int8_on_a_gpu_without_it_is_refused_whatever_the_target(
    jetson: Bundle, orin: TargetSpec, rtx: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(NANO, rtx, monkeypatch)
    with pytest.raises(BackendError, match=r"can't run an INT8 engine.*Tegra X1.*5\.3.*FP16"):
        finish_bundle(jetson, orin)


def test_a_dla_that_the_target_lacks_is_refused(jetson: Bundle, orin: TargetSpec) -> None:
    with pytest.raises(TargetError, match=r"no DLA core 0.*Leave --dla out"):
        finish_bundle(jetson, orin, dla_core=0)


def test_without_tensorrt_its_install_command_is_named(
    jetson: Bundle, orin: TargetSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgessd.runtime.tensorrt import provider as provider_module

    def absent(name: str) -> object:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(provider_module, "import_module", absent)
    monkeypatch.setattr(provider_module, "find_trtexec", lambda: None)
    with pytest.raises(BackendError, match="TensorRT isn't usable from this Python"):
        finish_bundle(jetson, orin)


def test_without_a_driver_finishing_is_refused(jetson: Bundle, rtx: Provider, no_gpu) -> None:
    pytest.importorskip("cuda.bindings.runtime", reason="needs cuda-python")
    with pytest.raises(BackendError, match="CUDA doesn't run on this machine"):
        finish_bundle(jetson, load_target("rtx"))


def test_compiles_the_bundles_own_graph_once(
    jetson: Bundle,
    orin: TargetSpec,
    rtx: Provider,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TensorRT-RTX compiles for an Ada GPU of another machine; everything else is as on a device."""

    def ahead(weak, strong, options: EngineOptions, provider, **more) -> CompiledEngine:
        options = msgspec.structs.replace(options, compute_capabilities=("8.9",))
        return compile_engine(weak, strong, options, provider, **more)

    on(ADA, rtx, monkeypatch)
    monkeypatch.setattr(finish_module, "compile_engine", ahead)
    sentences: list[str] = []
    done = finish_bundle(jetson, orin, cache=tmp_path, progress=sentences.append)
    assert not done.cached
    assert "RTX 4090" in sentences[0]
    assert done.plan.parent == tmp_path
    assert (done.provider, done.version) == ("tensorrt_rtx", rtx.version_text)
    finish = jetson.manifest.finish
    assert finish is not None
    assert (done.inputs, done.outputs) == (finish.inputs, finish.outputs)
    assert "built for jetson-orin-nano" in done.notes[0]
    assert "RTX 4090 (8.9)" in done.notes[0]
    assert (tmp_path / f"{done.plan.stem}.log").read_text()

    again = finish_bundle(jetson, orin, cache=tmp_path)
    assert again.cached
    assert again.plan == done.plan

    plan = read_plan(done.plan)
    assert (plan.image, plan.outputs) == (finish.inputs[0], finish.outputs)
    assert matching_provider(plan) == rtx
    require_gpu(plan, ADA)
    with pytest.raises(BackendError, match=r"another GPU.*RTX 4090.*Tegra X1.*--finish"):
        require_gpu(plan, NANO)
