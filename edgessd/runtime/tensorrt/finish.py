"""Finish a bundle: compile its graph with the TensorRT and for the GPU of this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgessd.bundle.manifest import Finish
from edgessd.bundle.store import Bundle
from edgessd.core.errors import BackendError, BundleError, TargetError
from edgessd.core.tensors import TensorSpec
from edgessd.runtime.tensorrt.cache import EngineCache, EngineKey, default_cache
from edgessd.runtime.tensorrt.compile import compile_engine
from edgessd.runtime.tensorrt.compiled_engine import CompiledEngine
from edgessd.runtime.tensorrt.gpu import GpuIdentity
from edgessd.runtime.tensorrt.layer_report import LayerReport
from edgessd.runtime.tensorrt.open_cuda import identify_gpu
from edgessd.runtime.tensorrt.options import EngineOptions
from edgessd.runtime.tensorrt.provider import Provider, find_provider
from edgessd.target.detect import l4t_release
from edgessd.target.spec import TargetSpec, TensorRtSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class FinishedEngine:
    """Engine that this machine can load.

    Attributes:
        plan: File that the backend `tensorrt` opens; its record is beside it.
        inputs, outputs: Tensors, in the engine's order.
        provider, version: Provider that compiled it, and its version.
        report: Layers by precision; None if TensorRT gave none.
        cached: True if the cache had the engine before the call.
        seconds: Duration of the call.
        notes: Sentences for a person.
    """

    plan: Path
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    provider: str
    version: str
    report: LayerReport | None
    cached: bool
    seconds: float
    notes: tuple[str, ...] = ()


def finish_bundle(
    bundle: Bundle,
    spec: TargetSpec,
    *,
    cache: Path | None = None,
    rebuild: bool = False,
    dla_core: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> FinishedEngine:
    """Compile a bundle's graph, or take the engine from the cache.

    Args:
        bundle: Bundle with `finish` in its manifest.
        spec: Target that it was built for.
        cache: Folder of the engine cache; None takes the user's.
        rebuild: Compile even if the cache has the engine.
        dla_core: DLA core for the layers that can run there; None for the GPU alone.
        progress: Receives sentences for a person who waits.

    Raises:
        BundleError: The bundle's engine is complete.
        TargetError: TensorRT doesn't run on the target, or the target lacks INT8 or the DLA core.
        BackendError: TensorRT, the GPU, memory, or the GPU's INT8 is missing.
        LoweringError: TensorRT refuses the graph.
    """
    started = time.perf_counter()
    finish, tensorrt = _agreed(bundle, spec, dla_core)
    provider = find_provider(tensorrt.provider)
    gpu = identify_gpu()
    _require_precision(finish, spec, gpu)
    options = EngineOptions(
        precision=finish.precision,
        dla_core=dla_core,
        workspace_mb=tensorrt.workspace_mb,
        optimization_level=tensorrt.optimization_level,
    )
    key = _key(finish, provider, gpu, options)
    engines = EngineCache(cache or default_cache())

    def compile_it() -> CompiledEngine:
        if progress is not None:
            progress(
                f"{provider.title} compiles for {gpu.name}; this takes minutes on a small board"
            )
        return compile_engine(
            bundle.directory / finish.weakly_typed.file,
            bundle.directory / finish.strongly_typed.file,
            options,
            provider,
            tensors=(*finish.inputs, *finish.outputs),
            timing_cache=engines.timing_cache(key),
            log=engines.log_path(key),
        )

    engine = engines.get_or_compile(key, compile_it, rebuild=rebuild, progress=progress)
    return FinishedEngine(
        plan=engine.plan,
        inputs=finish.inputs,
        outputs=finish.outputs,
        provider=provider.name,
        version=provider.version_text,
        report=engine.record.report,
        cached=engine.cached,
        seconds=time.perf_counter() - started,
        notes=(*_other_gpu(spec, tensorrt, gpu), *engine.record.notes),
    )


def _agreed(bundle: Bundle, spec: TargetSpec, dla_core: int | None) -> tuple[Finish, TensorRtSpec]:
    """Check that bundle and target fit; return the graphs and the target's TensorRT settings."""
    finish, tensorrt = bundle.manifest.finish, spec.tensorrt
    if tensorrt is None:
        raise TargetError(
            f"{bundle.directory} is for {spec.name}, on which TensorRT doesn't run",
            expected="a bundle of a Jetson or of rtx",
            found=f"a {spec.engine.format} target",
            fix="Build one for this device: edgessd build --target jetson",
        )
    if finish is None:
        raise BundleError(
            f"{bundle.directory} needs no finishing",
            expected="a bundle whose engine is compiled on its device",
            found=f"{bundle.manifest.engine.file}, complete as it is",
            fix=f"Run it: edgessd run --model {bundle.directory}",
        )
    if finish.precision == "int8" and not tensorrt.int8:
        raise TargetError(
            f"{spec.title} can't run an INT8 engine",
            found=tensorrt.int8_reason,
            fix=f"Build an FP16 bundle: edgessd build --target {spec.name}",
        )
    if dla_core is not None and dla_core >= tensorrt.dla_cores:
        raise TargetError(
            f"{spec.title} has no DLA core {dla_core}",
            expected=f"0 to {tensorrt.dla_cores - 1}" if tensorrt.dla_cores else "no --dla",
            found=f"--dla {dla_core}",
            fix="Leave --dla out: the GPU runs everything",
        )
    return finish, tensorrt


def _require_precision(finish: Finish, spec: TargetSpec, gpu: GpuIdentity) -> None:
    """Check the GPU's INT8: the bundle may be on another device than the one it was built for."""
    if finish.precision == "int8" and not gpu.has_int8:
        raise BackendError(
            "This GPU can't run an INT8 engine: it has no instructions for 8-bit integers",
            expected="compute capability 6.1, 7.0 or newer",
            found=f"{gpu.name}, compute capability {gpu.compute_capability}",
            fix=f"Build an FP16 bundle: edgessd build --target {spec.name} --precision fp16",
        )


def _other_gpu(spec: TargetSpec, tensorrt: TensorRtSpec, gpu: GpuIdentity) -> tuple[str, ...]:
    """Note a GPU that isn't the target's; the graph runs there, too, but was tuned for the target."""
    if gpu.compute_capability in tensorrt.compute_capabilities:
        return ()
    return (
        f"The bundle was built for {spec.name} (compute capability "
        f"{', '.join(tensorrt.compute_capabilities)}); this is {gpu.name} ({gpu.compute_capability})",
    )


def _key(finish: Finish, provider: Provider, gpu: GpuIdentity, options: EngineOptions) -> EngineKey:
    graph = finish.strongly_typed if provider.dialect.strongly_typed else finish.weakly_typed
    return EngineKey(
        provider=provider.name,
        version=provider.version_text,
        gpu=gpu.name,
        compute_capability=gpu.compute_capability,
        l4t=l4t_release(),
        graph_sha256=graph.sha256,
        options=options,
        inputs=finish.inputs,
        outputs=finish.outputs,
    )
