"""Open a bundle, an edgessd .onnx or a foreign .tflite for detection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from edgessd.bundle.manifest import MANIFEST_NAME
from edgessd.bundle.store import Bundle, open_bundle
from edgessd.core.contract import Contract, Nms
from edgessd.core.decode import Postprocessor
from edgessd.core.detections import Detections
from edgessd.core.errors import BackendError, BundleError, EdgessdError, TargetError
from edgessd.core.network_tensors import BOX_CODES, CLASS_SCORES
from edgessd.core.onnx_metadata import CONTRACT_KEY, QUANTIZATION_KEY
from edgessd.core.preprocess import ImageTransform
from edgessd.core.tensors import TensorSpec
from edgessd.runtime.backend import Backend, Tensor
from edgessd.runtime.catalog import default_threads, open_engine
from edgessd.runtime.foreign_tflite import read_foreign_model
from edgessd.runtime.opened_model import ModelOptions, OpenedModel, Postprocess
from edgessd.runtime.postprocess_op import OpPostprocessor, outputs_by_name
from edgessd.target.load import load_target


def open_model(path: Path, options: ModelOptions) -> OpenedModel:
    """Recognize the kind of a model and open it; raises the errors that `Detector` lists."""
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
            expected="the bundle's folder, whose manifest describes the engine",
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
            "A bundle has labels of its own",
            expected="no --labels",
            found=f"--labels {options.labels}",
            fix="Leave --labels out",
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
    """Engine file of a bundle on this machine.

    Attributes:
        path: The file.
        format: `tflite`, `onnx` or `tensorrt`.
        stated: True if the manifest's engine entry describes the tensors of this file.
        notes: Sentences for a person.
    """

    path: Path
    format: str
    stated: bool = True
    notes: tuple[str, ...] = ()


def _engine_of(bundle: Bundle, options: ModelOptions) -> _Engine:
    """Choose the bundle's engine, the one compiled from it for this machine, or its graph."""
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
            f"The engine of {bundle.directory} for {manifest.target} can't run here: {error.problem}",
            expected=error.expected,
            found=error.found,
            fix=f"{error.fix}. Or run the graph that it is compiled from: --backend onnxruntime",
        ) from error


def _compiled(bundle: Bundle) -> _Engine:
    """Choose the plan in the bundle, else the cached plan for this GPU, compiled if it is missing."""
    if not bundle.manifest.needs_finish:
        require_engine_support(bundle.manifest.target)
        return _Engine(path=bundle.engine_path, format="tensorrt")
    from edgessd.runtime.tensorrt.finish import finish_bundle

    finished = finish_bundle(bundle, load_target(bundle.manifest.target))
    return _Engine(path=finished.plan, format="tensorrt", stated=False, notes=finished.notes)


def require_engine_support(target: str) -> None:
    """Check that this machine has the TensorRT and the GPU that a target's engine needs.

    Raises:
        BackendError: TensorRT, its Python binding, CUDA or the GPU is missing.
    """
    from edgessd.runtime.tensorrt.open_cuda import identify_gpu
    from edgessd.runtime.tensorrt.provider import find_provider, require_binding

    options = load_target(target).tensorrt
    require_binding(find_provider(options.provider if options else None))
    identify_gpu()


def _target_defaults(name: str) -> tuple[tuple[str, ...], int]:
    """Backends and number of threads of the target that a bundle was built for."""
    try:
        spec = load_target(name)
    except TargetError:  # built with a target file of the user's own: the engine format decides
        return (), 4
    return spec.backends, spec.threads


def _open_onnx(path: Path, options: ModelOptions) -> OpenedModel:
    backend = open_engine(path, "onnx", backend=options.backend, threads=options.threads)
    text = backend.metadata.get(CONTRACT_KEY)
    if text is None:
        raise BackendError(
            f"{path} has no contract",
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
    """Quantization scheme of an edgessd .onnx; `float` where its metadata has none."""
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
        # The op has already suppressed with its author's settings; an IoU of 1 suppresses nothing more.
        nms=options.nms or Nms(iou_threshold=1.0),
        make_postprocess=make_postprocess,
        notes=model.notes,
    )


def _op_postprocess(bundle: Bundle, backend: Backend) -> Callable[[Nms], Postprocess]:
    roles = outputs_by_name(backend.outputs)
    if roles is None:
        raise BundleError(
            f"The outputs of {bundle.directory} aren't those of a detection op",
            found=", ".join(output.name for output in backend.outputs),
            fix="Build it again with `edgessd build`",
        )
    return lambda nms: OpPostprocessor(roles, bundle.manifest.contract.labels, nms)


def _raw_postprocess(contract: Contract, backend: Backend) -> Callable[[Nms], Postprocess]:
    outputs = {output.name: output for output in backend.outputs}
    if not {BOX_CODES, CLASS_SCORES} <= outputs.keys():
        raise BackendError(
            "The engine's outputs aren't those of a raw SSD head",
            expected=f"outputs {BOX_CODES} and {CLASS_SCORES}",
            found=", ".join(outputs),
        )

    def make_postprocess(nms: Nms) -> Postprocess:
        decode = Postprocessor(contract, outputs[BOX_CODES], outputs[CLASS_SCORES], nms=nms)

        def postprocess(values: Mapping[str, Tensor], transform: ImageTransform) -> Detections:
            return decode(values[BOX_CODES], values[CLASS_SCORES], transform)

        return postprocess

    return make_postprocess


def _require_same_tensors(bundle: Bundle, backend: Backend) -> None:
    """Check that the engine has the tensors that the manifest states; a hash doesn't prove that."""
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
                f"The engine's tensor {name} differs from the manifest of {bundle.directory}",
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
