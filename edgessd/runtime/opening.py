"""Open whatever a detector can be: a bundle, an edgessd .onnx, a foreign .tflite."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from edgessd.bundle.manifest import MANIFEST_NAME, Manifest
from edgessd.bundle.store import Bundle, open_bundle
from edgessd.core.contract import Contract, Nms, Preprocess
from edgessd.core.decode import Postprocessor
from edgessd.core.detections import Detections
from edgessd.core.errors import BackendError, BundleError, EdgessdError, TargetError
from edgessd.core.preprocess import ImageTransform
from edgessd.core.tensors import TensorSpec
from edgessd.runtime.backend import Backend, Tensor
from edgessd.runtime.catalog import default_threads, open_engine
from edgessd.runtime.foreign_tflite import read_foreign_model
from edgessd.runtime.postprocess_op import OpPostprocessor, outputs_by_name
from edgessd.target.load import load_target

CONTRACT_KEY = "edgessd.contract"
QUANTIZATION_KEY = "edgessd.quantization"

Postprocess = Callable[[Mapping[str, Tensor], ImageTransform], Detections]


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelOptions:
    """How a model shall be opened; None leaves the choice to the model and its target."""

    backend: str | None = None
    threads: int | None = None
    nms: Nms | None = None
    labels: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenedModel:
    """What each kind of model comes down to.

    Attributes:
        backend: Executes the engine.
        engine_path: The engine's file.
        engine_format: `tflite` or `onnx`.
        scheme: Quantization scheme, `unknown` for a foreign model.
        preprocessing, labels, nms: What happens before and after it.
        make_postprocess: The third stage for any NMS settings.
        contract: None for a foreign model.
        manifest: None for anything but a bundle.
        notes: What a person should know.
    """

    backend: Backend
    engine_path: Path
    engine_format: str
    scheme: str
    preprocessing: Preprocess
    labels: tuple[str, ...]
    nms: Nms
    make_postprocess: Callable[[Nms], Postprocess]
    contract: Contract | None = None
    manifest: Manifest | None = None
    notes: tuple[str, ...] = ()


def open_model(path: Path, options: ModelOptions) -> OpenedModel:
    """Recognise a model by what it is and open it; raises as `Detector` says."""
    if path.name == MANIFEST_NAME:
        path = path.parent
    if path.is_dir():
        return _open_bundle(open_bundle(path), options)
    if not path.exists():
        raise BackendError(
            f"There is no model at {path}",
            expected="a bundle's folder, a .tflite or an .onnx",
            fix="Make a bundle with `edgessd build --target host`",
        )
    if (path.parent / MANIFEST_NAME).is_file():
        raise BundleError(
            f"{path} is the engine of a bundle",
            expected="the bundle's folder, whose manifest says how to read it",
            found="the engine alone",
            fix=f"Give {path.parent} instead",
        )
    if path.suffix == ".tflite":
        return _open_foreign(path, options)
    if path.suffix == ".onnx":
        return _open_onnx(path, options)
    raise BackendError(
        f"{path} isn't a model that runs here",
        expected="a bundle's folder, a .tflite or an .onnx",
        found=path.suffix or "a file without a suffix",
        fix="Turn a checkpoint into a bundle: edgessd build --target host --checkpoint FILE"
        if path.suffix in (".pt", ".pth")
        else None,
    )


def _open_bundle(bundle: Bundle, options: ModelOptions) -> OpenedModel:
    manifest = bundle.manifest
    if options.labels is not None:
        raise BackendError(
            "A bundle carries its labels", found=f"--labels {options.labels}", fix="Leave it out"
        )
    preferred, threads = _target_defaults(manifest.target)
    engine = _engine_of(bundle, options)
    backend = open_engine(
        engine.path,
        engine.format,
        backend=options.backend,
        preferred=preferred,
        threads=options.threads or default_threads(threads),
    )
    if engine.stated:
        _require_same_tensors(bundle, backend)
    contract = manifest.contract
    return OpenedModel(
        backend=backend,
        engine_path=engine.path,
        engine_format=engine.format,
        scheme=manifest.scheme,
        preprocessing=contract.preprocess,
        labels=contract.labels,
        nms=options.nms or contract.nms,
        make_postprocess=_op_postprocess(bundle, backend)
        if manifest.postprocess == "op"
        else _raw_postprocess(contract, backend),
        contract=contract,
        manifest=manifest,
        notes=(*manifest.notes, *engine.notes),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Engine:
    """The file to execute; `stated` where the manifest's engine entry describes its tensors."""

    path: Path
    format: str
    stated: bool = True
    notes: tuple[str, ...] = ()


def _engine_of(bundle: Bundle, options: ModelOptions) -> _Engine:
    """The bundle's engine, the one compiled from it for this machine, or the graph that stands for it."""
    manifest = bundle.manifest
    if manifest.finish is None:
        return _Engine(path=bundle.engine_path, format=manifest.engine.format)
    if options.backend not in (None, "tensorrt"):
        return _Engine(
            path=bundle.directory / manifest.finish.weakly_typed.file,
            format="onnx",
            stated=manifest.needs_finish,
            notes=(
                f"Not the device's engine: the graph it is compiled from, in {options.backend}",
            ),
        )
    try:
        return _compiled(bundle)
    except BackendError as error:
        raise BundleError(
            f"{bundle.directory} can't run here as {manifest.target} runs it: {error.problem}",
            expected=error.expected,
            found=error.found,
            fix=f"{error.fix}. Or run the graph it is compiled from, as the reference: "
            "--backend onnxruntime",
        ) from error


def _compiled(bundle: Bundle) -> _Engine:
    """The plan in the bundle, or the one for this GPU out of the engine cache, compiled if need be."""
    if not bundle.manifest.needs_finish:
        require_engine_support(bundle.manifest.target)
        return _Engine(path=bundle.engine_path, format="tensorrt")
    from edgessd.runtime.tensorrt.finish import finish_bundle

    finished = finish_bundle(bundle, load_target(bundle.manifest.target))
    return _Engine(path=finished.plan, format="tensorrt", stated=False, notes=finished.notes)


def require_engine_support(target: str) -> None:
    """Refuse a machine without the TensorRT and the GPU that a target's engine needs.

    Raises:
        BackendError: What is missing, and the way to it.
    """
    from edgessd.runtime.tensorrt.gpu import identify_gpu
    from edgessd.runtime.tensorrt.provider import find_provider, require_binding

    options = load_target(target).tensorrt
    require_binding(find_provider(options.provider if options else None))
    identify_gpu()


def _target_defaults(name: str) -> tuple[tuple[str, ...], int]:
    """Backends and threads of the target a bundle was built for."""
    try:
        spec = load_target(name)
    except TargetError:  # built with a target file of someone's own: the format decides
        return (), 4
    return spec.backends, spec.threads


def _open_onnx(path: Path, options: ModelOptions) -> OpenedModel:
    backend = open_engine(path, "onnx", backend=options.backend, threads=options.threads)
    text = backend.metadata.get(CONTRACT_KEY)
    if text is None:
        raise BackendError(
            f"{path} doesn't say how to read it",
            expected=f"an .onnx that edgessd exported, with {CONTRACT_KEY} in its metadata",
            found=", ".join(backend.metadata) or "no metadata",
            fix="Import its checkpoint with `edgessd import` and build a bundle from that",
        )
    try:
        contract = msgspec.json.decode(text, type=Contract)
    except (msgspec.DecodeError, EdgessdError) as error:
        raise BackendError(
            f"The contract in {path} can't be read", found=str(error), fix="Export it again"
        ) from error
    return OpenedModel(
        backend=backend,
        engine_path=path,
        engine_format="onnx",
        scheme=_scheme(backend),
        preprocessing=contract.preprocess,
        labels=contract.labels,
        nms=options.nms or contract.nms,
        make_postprocess=_raw_postprocess(contract, backend),
        contract=contract,
    )


def _scheme(backend: Backend) -> str:
    """Of a graph file: a float one says nothing about quantization."""
    text = backend.metadata.get(QUANTIZATION_KEY)
    return str(msgspec.json.decode(text)["scheme"]) if text else "float"


def _open_foreign(path: Path, options: ModelOptions) -> OpenedModel:
    backend = open_engine(path, "tflite", backend=options.backend, threads=options.threads)
    model = read_foreign_model(path, backend.input, backend.outputs, labels_file=options.labels)

    def make_postprocess(nms: Nms) -> Postprocess:
        return OpPostprocessor(model.outputs, model.labels, nms)

    return OpenedModel(
        backend=backend,
        engine_path=path,
        engine_format="tflite",
        scheme="unknown",
        preprocessing=model.preprocess,
        labels=model.labels,
        # The op has suppressed with the settings its author chose; nothing is added to them unasked.
        nms=options.nms or Nms(iou_threshold=1.0),
        make_postprocess=make_postprocess,
        notes=model.notes,
    )


def _op_postprocess(bundle: Bundle, backend: Backend) -> Callable[[Nms], Postprocess]:
    roles = outputs_by_name(backend.outputs)
    if roles is None:
        raise BundleError(
            f"{bundle.directory} doesn't name its detection outputs",
            found=", ".join(output.name for output in backend.outputs),
            fix="Build it again with `edgessd build`",
        )
    return lambda nms: OpPostprocessor(roles, bundle.manifest.contract.labels, nms)


def _raw_postprocess(contract: Contract, backend: Backend) -> Callable[[Nms], Postprocess]:
    outputs = {output.name: output for output in backend.outputs}
    if {"box_codes", "class_scores"} - set(outputs):
        raise BackendError(
            "The engine isn't a raw SSD head",
            expected="outputs box_codes and class_scores",
            found=", ".join(outputs),
        )

    def make_postprocess(nms: Nms) -> Postprocess:
        decode = Postprocessor(contract, outputs["box_codes"], outputs["class_scores"], nms=nms)

        def postprocess(values: Mapping[str, Tensor], transform: ImageTransform) -> Detections:
            return decode(values["box_codes"], values["class_scores"], transform)

        return postprocess

    return make_postprocess


def _require_same_tensors(bundle: Bundle, backend: Backend) -> None:
    """The engine must be what the manifest says it is: a hash alone can't tell that."""
    engine = bundle.manifest.engine
    stated = {spec.name: spec for spec in (*engine.inputs, *engine.outputs)}
    found = {spec.name: spec for spec in (backend.input, *backend.outputs)}
    if stated.keys() != found.keys():
        raise BundleError(
            f"The engine of {bundle.directory} has other tensors than its manifest states",
            expected=", ".join(stated),
            found=", ".join(found),
            fix="Build it again with `edgessd build`",
        )
    for name, spec in stated.items():
        if not _same_tensor(spec, found[name]):
            raise BundleError(
                f"The engine's tensor {name} isn't what the manifest of {bundle.directory} states",
                expected=str(spec),
                found=str(found[name]),
                fix="Build it again with `edgessd build`",
            )


def _same_tensor(stated: TensorSpec, found: TensorSpec) -> bool:
    if (stated.shape, stated.dtype) != (found.shape, found.dtype):
        return False
    if stated.quantization is None or found.quantization is None:
        return stated.quantization is None and found.quantization is None
    # An engine stores scales as float32.
    return stated.quantization.zero_point == found.quantization.zero_point and bool(
        np.isclose(stated.quantization.scale, found.quantization.scale, rtol=1e-6, atol=0)
    )
