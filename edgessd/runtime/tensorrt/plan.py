"""Describe a plan file, which itself holds neither its TensorRT version nor its scales."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgessd.bundle.manifest import MANIFEST_NAME
from edgessd.bundle.store import open_bundle
from edgessd.core.errors import BackendError
from edgessd.core.tensors import TensorSpec
from edgessd.runtime.tensorrt.cache import default_cache, read_record, record_path
from edgessd.runtime.tensorrt.dialects import PROVIDERS
from edgessd.runtime.tensorrt.gpu import GpuIdentity
from edgessd.runtime.tensorrt.provider import Provider, find_provider, parse_version

_FINISH = "Compile it for this machine: edgessd build --finish BUNDLE"


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Description of a compiled engine.

    Attributes:
        path: File of the plan.
        provider, version: Provider that compiled it, and its version.
        image: Input tensor.
        outputs: Output tensors, in the engine's order.
        gpu, compute_capability: GPU that it was compiled for; "" for a family of GPUs.
        dla_core: DLA core that runs some of its layers; None for the GPU alone.
        kernels: File for the kernels that TensorRT-RTX compiles for this GPU.
    """

    path: Path
    provider: str
    version: str
    image: TensorSpec
    outputs: tuple[TensorSpec, ...]
    gpu: str
    compute_capability: str
    dla_core: int | None
    kernels: Path


def read_plan(path: Path) -> Plan:
    """Read the record beside a plan of the engine cache, or the manifest of a bundle that holds one.

    Raises:
        BackendError: Neither describes the plan, or the plan differs from the description.
        BundleError: The verification of the bundle fails.
    """
    if not record_path(path).exists() and (path.parent / MANIFEST_NAME).is_file():
        return _of_bundle(path)
    record = read_record(path)
    key = record.key
    return Plan(
        path=path,
        provider=key.provider,
        version=key.version,
        image=key.inputs[0],
        outputs=key.outputs,
        gpu=key.gpu,
        compute_capability=key.compute_capability,
        dla_core=key.options.dla_core,
        kernels=path.with_suffix(".kernels"),
    )


def _of_bundle(path: Path) -> Plan:
    manifest = open_bundle(path.parent).manifest
    tools = manifest.provenance.tools
    provider = next((name for name in PROVIDERS if name in tools), None)
    if manifest.engine.file != path.name or provider is None:
        raise BackendError(
            f"The manifest of {path.parent} doesn't name the compiler of {path.name}",
            expected=f"{' or '.join(PROVIDERS)} among its tools",
            found=", ".join(tools) or "no tools",
            fix=_FINISH,
        )
    engine = manifest.engine
    return Plan(
        path=path,
        provider=provider,
        version=tools[provider],
        image=engine.inputs[0],
        outputs=engine.outputs,
        gpu="",
        compute_capability="",
        dla_core=None,
        # The bundle may be in a folder that this user can't write.
        kernels=default_cache() / f"{engine.sha256}.kernels",
    )


def matching_provider(plan: Plan) -> Provider:
    """Find the library that compiled a plan, in the same version.

    Raises:
        BackendError: The library is missing or of another version.
    """
    provider = find_provider(plan.provider)
    compiled_by = parse_version(plan.version)
    # trtexec states three numbers, a binding three or four.
    common = min(len(compiled_by), len(provider.version))
    if compiled_by[:common] != provider.version[:common]:
        raise BackendError(
            f"{plan.path} is an engine of another version of {plan.provider}",
            expected=f"{plan.provider} {plan.version}, which compiled it",
            found=f"{plan.provider} {provider.version_text} on this machine",
            fix=_FINISH,
        )
    return provider


def require_gpu(plan: Plan, gpu: GpuIdentity) -> None:
    """Check that a plan was compiled for this machine's GPU.

    Raises:
        BackendError: It was compiled for another GPU.
    """
    if plan.gpu and (plan.gpu, plan.compute_capability) != (gpu.name, gpu.compute_capability):
        raise BackendError(
            f"{plan.path} was compiled for another GPU",
            expected=f"{plan.gpu}, compute capability {plan.compute_capability}",
            found=f"{gpu.name}, compute capability {gpu.compute_capability}",
            fix=_FINISH,
        )
