"""Backend of onnxruntime on the CPU: runs float and Q/DQ graphs, the reference for other engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgessd.core.errors import BackendError, EdgessdError
from edgessd.core.onnx_metadata import TENSORS_KEY
from edgessd.core.tensors import EngineTensors, TensorSpec
from edgessd.runtime.backend import Tensor, image_layout, require_tensor
from edgessd.runtime.ort_session import load_onnxruntime, make_session

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
}


class OrtBackend:
    """Runs an .onnx; see `Backend` for the interface.

    Args:
        engine: Path or content of the file.
        threads: CPU threads within an operator.
    """

    name = "onnxruntime"

    def __init__(self, engine: Path | bytes, *, threads: int = 1) -> None:
        library = load_onnxruntime()
        what = "the engine" if isinstance(engine, bytes) else str(engine)
        try:
            session = make_session(engine, threads=threads)
        # onnxruntime raises a dozen unrelated classes of its own, which have only Exception in common.
        except Exception as error:
            raise BackendError(
                f"onnxruntime refuses {what}",
                found=str(error).strip().splitlines()[0],
                fix="Check that the file is a complete .onnx, or export it again",
            ) from error
        self.details: dict[str, Any] = {
            "library": "onnxruntime",
            "version": library.__version__,
            "threads": threads,
            "delegate": "CPUExecutionProvider",
        }
        self.metadata: dict[str, str] = dict(session.get_modelmeta().custom_metadata_map)
        if len(session.get_inputs()) != 1:
            raise BackendError(
                "The engine isn't a detector",
                expected="one image input",
                found=f"{len(session.get_inputs())}",
            )
        stated = _stated_tensors(self.metadata.get(TENSORS_KEY), what)
        self.input = _tensor_spec(session.get_inputs()[0], stated, what)
        self.outputs = tuple(_tensor_spec(node, stated, what) for node in session.get_outputs())
        self._names = [output.name for output in self.outputs]
        self._session: Any = session

    def infer(self, tensor: Tensor) -> dict[str, Tensor]:
        """Run the engine once; the outputs are new arrays."""
        if self._session is None:
            raise BackendError("The engine was closed", fix="Open the model again")
        require_tensor(tensor, self.input)
        values = self._session.run(self._names, {self.input.name: np.ascontiguousarray(tensor)})
        return dict(zip(self._names, values, strict=True))

    def close(self) -> None:
        """Free the session. A second call does nothing."""
        self._session = None


def open_engine(path: Path, *, threads: int) -> OrtBackend:
    """Open an engine for the catalog."""
    return OrtBackend(path, threads=threads)


def library_version() -> str:
    """Return name and version, e.g. "onnxruntime 1.20.0"; raise BackendError without onnxruntime."""
    return f"onnxruntime {load_onnxruntime().__version__}"


def _stated_tensors(text: str | None, what: str) -> dict[str, TensorSpec]:
    """Read the tensors that the file's metadata describes, by name; most files describe none."""
    if text is None:
        return {}
    try:
        tensors = msgspec.json.decode(text, type=EngineTensors)
    except (msgspec.DecodeError, EdgessdError) as error:
        raise BackendError(
            f"The metadata of {what} can't be read",
            found=str(error),
            fix="Build it again with `edgessd build`",
        ) from error
    return {spec.name: spec for spec in (*tensors.inputs, *tensors.outputs)}


def _tensor_spec(node: Any, stated: dict[str, TensorSpec], what: str) -> TensorSpec:
    """Describe a session's tensor, with the scale from the metadata.

    ONNX has no place for the scale of an int8 input or output.
    """
    found = _session_spec(node)
    spec = stated.get(found.name)
    if spec is None:
        return found
    if (spec.shape, spec.dtype) != (found.shape, found.dtype):
        raise BackendError(
            f"The tensor {found.name} of {what} differs from its metadata",
            expected=f"{spec.dtype} {spec.shape}",
            found=f"{found.dtype} {found.shape}",
            fix="Build it again with `edgessd build`",
        )
    return spec


def _session_spec(node: Any) -> TensorSpec:
    dtype = _DTYPES.get(node.type)
    if dtype is None or any(not isinstance(side, int) for side in node.shape):
        raise BackendError(
            f"The tensor {node.name} can't be run as it is",
            expected="numbers with a static shape",
            found=f"{node.type} {node.shape}",
            fix="Export the model with a fixed input size and batch 1",
        )
    layout: Any = image_layout(tuple(node.shape))
    return TensorSpec(
        name=node.name,
        shape=tuple(node.shape),
        dtype=dtype,  # type: ignore[arg-type]
        layout=layout,
    )
