"""Backend of LiteRT (TensorFlow Lite) on the CPU, with its XNNPACK delegate."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from edgessd.core.errors import BackendError
from edgessd.core.tensors import QuantParams, TensorSpec
from edgessd.runtime.backend import Tensor, image_layout, require_tensor
from edgessd.runtime.native_log import without_info_lines
from edgessd.target.packages import install_command, installed_version

# (module, distribution) of the same Interpreter under its new and its old name.
LIBRARIES = (
    ("ai_edge_litert.interpreter", "ai-edge-litert"),
    ("tflite_runtime.interpreter", "tflite-runtime"),
)


class LiteRtBackend:
    """Runs a .tflite; see `Backend` for the interface.

    Args:
        engine: Path (memory-mapped by LiteRT) or content of the file.
        threads: CPU threads.
        xnnpack: False runs LiteRT's own kernels.
    """

    name = "litert"

    def __init__(self, engine: Path | bytes, *, threads: int = 1, xnnpack: bool = True) -> None:
        module, library, version = load_library()
        self.details: dict[str, Any] = {
            "library": library,
            "version": version,
            "threads": threads,
            "delegate": "XNNPACK" if xnnpack else "none",
        }
        self.metadata: dict[str, str] = {}
        self._interpreter = make_interpreter(module, engine, threads=threads, xnnpack=xnnpack)
        inputs = self._interpreter.get_input_details()
        if len(inputs) != 1:
            raise BackendError(
                "The engine isn't a detector", expected="one image input", found=f"{len(inputs)}"
            )
        self.input = tensor_spec(inputs[0])
        self._input_index = inputs[0]["index"]
        details = self._interpreter.get_output_details()
        self.outputs = tuple(tensor_spec(detail) for detail in details)
        # A view into the interpreter must not exist during invoke(), so outputs are copied (some 100 kB,
        # microseconds) into buffers.
        self._outputs = tuple(
            (spec.name, detail["index"], np.zeros(spec.shape, spec.numpy_dtype))
            for spec, detail in zip(self.outputs, details, strict=True)
        )

    def infer(self, tensor: Tensor) -> dict[str, Tensor]:
        """Run the engine once; the outputs are valid until the next call."""
        if self._interpreter is None:
            raise BackendError("The engine was closed", fix="Open the model again")
        require_tensor(tensor, self.input)
        self._interpreter.tensor(self._input_index)()[...] = tensor
        self._interpreter.invoke()
        for _, index, buffer in self._outputs:
            np.copyto(buffer, self._interpreter.tensor(index)())
        return {name: buffer for name, _, buffer in self._outputs}

    def close(self) -> None:
        """Free the interpreter. A second call does nothing."""
        self._interpreter = None


def open_engine(path: Path, *, threads: int) -> LiteRtBackend:
    """Open an engine for the catalog."""
    return LiteRtBackend(path, threads=threads)


def load_library() -> tuple[ModuleType, str, str]:
    """Import the installed LiteRT: (module with `Interpreter`, distribution, version).

    Raises:
        BackendError: None is installed.
    """
    problems = []
    for module_name, distribution in LIBRARIES:
        try:
            module = import_module(module_name)
        except ImportError as error:
            problems.append(f"{distribution}: {error}")
            continue
        # A system package has no Python metadata.
        return module, distribution, installed_version(distribution) or "unknown"
    raise BackendError(
        "LiteRT, which runs .tflite files, isn't usable here",
        expected=" or ".join(distribution for _, distribution in LIBRARIES),
        found="; ".join(problems),
        fix=f"Install it: {install_command('litert')}",
    )


def library_version() -> str:
    """Return name and version, e.g. "ai-edge-litert 2.3.0"; raise BackendError without LiteRT."""
    _, library, version = load_library()
    return f"{library} {version}"


def make_interpreter(
    module: ModuleType,
    engine: Path | bytes,
    *,
    threads: int,
    xnnpack: bool,
    keep_tensors: bool = False,
) -> Any:
    """Make an interpreter with allocated tensors.

    Args:
        module: LiteRT, from `load_library`.
        engine: Path or content of a .tflite.
        threads: CPU threads.
        xnnpack: False runs LiteRT's own kernels.
        keep_tensors: Keep inner tensors readable after a run.

    Raises:
        BackendError: LiteRT refuses the engine.
    """
    source: dict[str, Any] = (
        {"model_content": engine} if isinstance(engine, bytes) else {"model_path": str(engine)}
    )
    resolver = module.OpResolverType
    kind = resolver.AUTO if xnnpack else resolver.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    what = "The engine" if isinstance(engine, bytes) else str(engine)
    try:
        with without_info_lines():
            interpreter = module.Interpreter(
                **source,
                num_threads=threads,
                experimental_op_resolver_type=kind,
                experimental_preserve_all_tensors=keep_tensors,
            )
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        text = str(error).strip().splitlines()
        edgetpu = "edgetpu-custom-op" in str(error)
        raise BackendError(
            f"LiteRT refuses {what}",
            found=text[0] if text else type(error).__name__,
            fix="It is compiled for the Edge TPU: run the .tflite that it was compiled from"
            if edgetpu
            else "Check that the file is a complete .tflite with built-in operators",
        ) from error
    return interpreter


def tensor_spec(detail: dict[str, Any]) -> TensorSpec:
    """Describe an interpreter's tensor; raise BackendError if its shape isn't fixed."""
    signature = tuple(int(side) for side in detail.get("shape_signature", detail["shape"]))
    shape = tuple(int(side) for side in detail["shape"])
    if any(side < 0 for side in signature[1:]):
        raise BackendError(
            f"The tensor {detail['name']} has no fixed shape",
            expected="static shapes",
            found=str(signature),
            fix="Convert the model with a fixed input size",
        )
    scale, zero_point = detail["quantization"]
    dtype = np.dtype(detail["dtype"]).name
    # int32 indices and floats have (0.0, 0), which isn't a quantization.
    quantized = scale > 0 and dtype in ("int8", "uint8")
    layout: Any = image_layout(shape)
    return TensorSpec(
        name=detail["name"],
        shape=shape,
        dtype=dtype,
        quantization=QuantParams(scale=float(scale), zero_point=int(zero_point))
        if quantized
        else None,
        layout=layout,
    )
