"""`Detector`: a model file in, named boxes out. What every camera, benchmark and evaluation calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgessd.bundle.manifest import MANIFEST_NAME, Manifest
from edgessd.bundle.store import Bundle, open_bundle
from edgessd.core.contract import Contract, Nms, Preprocess
from edgessd.core.decode import Postprocessor
from edgessd.core.detections import Detections
from edgessd.core.errors import BackendError, BundleError, EdgessdError, TargetError
from edgessd.core.preprocess import Placement, prepare_image
from edgessd.core.tensors import TensorSpec
from edgessd.runtime.backend import Backend, Tensor
from edgessd.runtime.catalog import default_threads, open_engine
from edgessd.runtime.foreign_tflite import read_foreign_model
from edgessd.runtime.postprocess_op import OpPostprocessor, outputs_by_name

CONTRACT_KEY = "edgessd.contract"

Frame = NDArray[np.uint8]
Finish = Callable[[Mapping[str, Tensor], Placement], Detections]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Opened:
    """What each kind of model comes down to."""

    backend: Backend
    preprocess: Preprocess
    labels: tuple[str, ...]
    nms: Nms
    finish: Finish
    contract: Contract | None = None
    manifest: Manifest | None = None
    notes: tuple[str, ...] = ()


class Detector:
    """Runs a bundle, a foreign .tflite with TFLite's post-process op, or an edgessd .onnx.

    Args:
        model: A bundle's folder, a .tflite, or an .onnx that `edgessd` exported.
        backend: A name from `runtime.catalog`; None takes the target's first.
        threads: CPU threads; None takes the target's, at most the cores there are.
        nms: Settings other than the model's own.
        labels: A label file, for a foreign .tflite that brings none.

    Attributes:
        path: The model as given.
        backend: What executes it; its `details` belong into every benchmark.
        preprocess, labels, nms: What the detector does with a frame and its findings.
        contract: None for a foreign model.
        manifest: None for anything but a bundle.
        notes: What a person should know, e.g. that a model's normalization had to be assumed.

    Raises:
        BundleError: A bundle that doesn't hold, or isn't finished (see `backend`).
        BackendError: A library that is missing, or a model it refuses.

    Example:
        >>> with Detector("dist/codes-host") as detector:  # doctest: +SKIP
        ...     for label, score, box in detector(frame_bgr).named():
        ...         print(label, score, box)
    """

    def __init__(
        self,
        model: str | Path,
        *,
        backend: str | None = None,
        threads: int | None = None,
        nms: Nms | None = None,
        labels: str | Path | None = None,
    ) -> None:
        self.path = Path(model)
        if threads is not None and threads < 1:
            raise BackendError(
                "There is nothing to run on", expected="threads >= 1", found=str(threads)
            )
        wish = _Wish(
            backend=backend, threads=threads, nms=nms, labels=Path(labels) if labels else None
        )
        opened = _open(self.path, wish)
        self.backend = opened.backend
        self.preprocess = opened.preprocess
        self.labels = opened.labels
        self.nms = opened.nms
        self.contract = opened.contract
        self.manifest = opened.manifest
        self.notes = opened.notes
        self._finish = opened.finish

    def __call__(self, frame_bgr: Frame) -> Detections:
        """Detect in one (H, W, 3) uint8 BGR frame of any size."""
        tensor, placement = self.prepare(frame_bgr)
        return self.finish(self.infer(tensor), placement)

    def prepare(self, frame_bgr: Frame, out: Tensor | None = None) -> tuple[Tensor, Placement]:
        """First stage: the engine's input, and where the frame landed in it.

        Args:
            frame_bgr: (H, W, 3) uint8.
            out: Array of `backend.input`'s shape and dtype to write into; made if absent.
        """
        return prepare_image(frame_bgr, self.preprocess, self.backend.input, out)

    def infer(self, tensor: Tensor) -> dict[str, Tensor]:
        """Second stage: raw outputs by name, valid until the next call."""
        return self.backend.infer(tensor)

    def finish(self, outputs: Mapping[str, Tensor], placement: Placement) -> Detections:
        """Third stage: decode and suppress, in pixels of the original frame."""
        return self._finish(outputs, placement)

    def close(self) -> None:
        """Free the engine. Calling it twice is fine."""
        self.backend.close()

    def __enter__(self) -> Detector:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wish:
    backend: str | None
    threads: int | None
    nms: Nms | None
    labels: Path | None


def _open(path: Path, wish: _Wish) -> _Opened:
    if path.name == MANIFEST_NAME:
        path = path.parent
    if path.is_dir():
        return _open_bundle(open_bundle(path), wish)
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
        return _open_foreign(path, wish)
    if path.suffix == ".onnx":
        return _open_onnx(path, wish)
    raise BackendError(
        f"{path} isn't a model that runs here",
        expected="a bundle's folder, a .tflite or an .onnx",
        found=path.suffix or "a file without a suffix",
        fix="Turn a checkpoint into a bundle: edgessd build --target host --checkpoint FILE"
        if path.suffix in (".pt", ".pth")
        else None,
    )


def _open_bundle(bundle: Bundle, wish: _Wish) -> _Opened:
    manifest = bundle.manifest
    notes = list(manifest.notes)
    if manifest.needs_finish:
        if wish.backend is None:
            raise BundleError(
                f"{bundle.directory} isn't finished: its engine is compiled on {manifest.target}",
                fix="To run its quantized graph here as the reference, ask for it: "
                "--backend onnxruntime",
            )
        notes.append(f"Not the device's engine: the Q/DQ graph of the bundle, in {wish.backend}")
    if wish.labels is not None:
        raise BackendError(
            "A bundle carries its labels", found=f"--labels {wish.labels}", fix="Leave it out"
        )
    preferred, threads = _target_wish(manifest.target)
    backend = open_engine(
        bundle.engine_path,
        manifest.engine.format,
        backend=wish.backend,
        preferred=preferred,
        threads=wish.threads or default_threads(threads),
    )
    _require_same_tensors(bundle, backend)
    contract = manifest.contract
    nms = wish.nms or contract.nms
    finish: Finish
    if manifest.postprocess == "op":
        roles = outputs_by_name(backend.outputs)
        if roles is None:
            raise BundleError(
                f"{bundle.directory} doesn't name its detection outputs",
                found=", ".join(output.name for output in backend.outputs),
                fix="Build it again with `edgessd build`",
            )
        finish = OpPostprocessor(roles, contract.labels, nms)
    else:
        finish = _raw_finish(contract, backend, nms)
    return _Opened(
        backend=backend,
        preprocess=contract.preprocess,
        labels=contract.labels,
        nms=nms,
        finish=finish,
        contract=contract,
        manifest=manifest,
        notes=tuple(notes),
    )


def _target_wish(name: str) -> tuple[tuple[str, ...], int]:
    """Backends and threads of the target a bundle was built for."""
    from edgessd.target.load import load_target

    try:
        spec = load_target(name)
    except TargetError:  # built with a target file of someone's own: the format decides
        return (), 4
    return spec.backends, spec.threads


def _open_onnx(path: Path, wish: _Wish) -> _Opened:
    backend = open_engine(path, "onnx", backend=wish.backend, threads=wish.threads)
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
    nms = wish.nms or contract.nms
    return _Opened(
        backend=backend,
        preprocess=contract.preprocess,
        labels=contract.labels,
        nms=nms,
        finish=_raw_finish(contract, backend, nms),
        contract=contract,
    )


def _open_foreign(path: Path, wish: _Wish) -> _Opened:
    backend = open_engine(path, "tflite", backend=wish.backend, threads=wish.threads)
    model = read_foreign_model(path, backend.input, backend.outputs, labels_file=wish.labels)
    # The op has suppressed with the settings its author chose; nothing is added to them unasked.
    nms = wish.nms or Nms(iou_threshold=1.0)
    return _Opened(
        backend=backend,
        preprocess=model.preprocess,
        labels=model.labels,
        nms=nms,
        finish=OpPostprocessor(model.outputs, model.labels, nms),
        notes=model.notes,
    )


def _raw_finish(contract: Contract, backend: Backend, nms: Nms) -> Finish:
    outputs = {output.name: output for output in backend.outputs}
    missing = {"box_codes", "class_scores"} - set(outputs)
    if missing:
        raise BackendError(
            "The engine isn't a raw SSD head",
            expected="outputs box_codes and class_scores",
            found=", ".join(outputs),
        )
    decode = Postprocessor(contract, outputs["box_codes"], outputs["class_scores"], nms=nms)

    def finish(values: Mapping[str, Tensor], placement: Placement) -> Detections:
        return decode(values["box_codes"], values["class_scores"], placement)

    return finish


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
