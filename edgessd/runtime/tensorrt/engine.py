"""Load a plan: TensorRT's engine with one execution context, verified against the plan's description."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from edgessd.core.errors import BackendError
from edgessd.core.files import write_atomically
from edgessd.core.tensors import TensorSpec
from edgessd.runtime.tensorrt.build_log import EngineLog, collecting, logger_of
from edgessd.runtime.tensorrt.compiled_engine import DATA_TYPES
from edgessd.runtime.tensorrt.plan import Plan
from edgessd.runtime.tensorrt.provider import Provider, require_binding

_RECOMPILE = "Compile it again: edgessd build --finish BUNDLE --rebuild"


class LoadedEngine:
    """Engine on the current device, ready to be enqueued.

    Args:
        plan: Plan from `read_plan`.
        provider: Provider from `matching_provider`.

    Attributes:
        kernels_kept: Path of the kernels that TensorRT-RTX compiled at run time, or the reason why they
            weren't kept; "" for TensorRT.

    Raises:
        BackendError: TensorRT refuses the plan, or its tensors differ from the stated ones.
    """

    def __init__(self, plan: Plan, provider: Provider) -> None:
        self._plan = plan
        self._trt = require_binding(provider)
        self._dialect = provider.dialect
        self._config: Any = None
        self._kernels: Any = None
        self.kernels_kept = ""
        with collecting(self._trt) as heard:
            self._runtime = _runtime(self._trt, plan, provider, heard)
            self._engine = self._runtime.deserialize_cuda_engine(plan.path.read_bytes())
            if self._engine is None:
                raise _refused(plan, provider, heard)
            self._require_tensors()
            if self._dialect.runtime_cache:
                self._context = self._context_with_kernels()
            else:
                self._context = self._engine.create_execution_context()
            if self._context is None:
                raise BackendError(
                    f"{provider.title} has no memory to run {plan.path}",
                    found=heard.last_errors(),
                    fix="Close what else uses the GPU, add swap, or compile with a lower workspace_mb",
                )

    def bind(self, name: str, address: int) -> None:
        """Set the device address of a tensor, for the next enqueue and later ones."""
        if not self._context.set_tensor_address(name, address):
            raise BackendError(
                f"TensorRT refuses the buffer of {name}", found=hex(address), fix=_RECOMPILE
            )

    def enqueue(self, stream: int) -> None:
        """Begin a run on the stream with this address."""
        with collecting(self._trt) as heard:
            if not self._context.execute_async_v3(stream):
                raise BackendError(
                    f"TensorRT can't run {self._plan.path}",
                    found=heard.last_errors(),
                    fix=_RECOMPILE,
                )

    def can_be_captured(self, stream: int) -> bool:
        """Tell if a CUDA graph of a run may be captured; TensorRT itself finds out by trying."""
        if self._plan.dla_core is not None:
            return False
        if self._dialect.tells_capturable:
            return bool(self._context.is_stream_capturable(stream))
        return True

    def keep_kernels(self) -> None:
        """Write the kernels that TensorRT-RTX compiled for this GPU, so that the next start is fast."""
        if self._kernels is None:
            return
        try:
            content = bytes(memoryview(self._kernels.serialize()))
            path = self._plan.kernels
            if not path.is_file() or path.read_bytes() != content:
                write_atomically(path, content)
            self.kernels_kept = str(path)
        except OSError as error:
            self.kernels_kept = f"not kept: {error.strerror or error}"

    def _context_with_kernels(self) -> Any:
        config = self._config = self._engine.create_runtime_config()
        kernels = config.create_runtime_cache()
        path = self._plan.kernels
        if path.is_file():
            # This returns False for kernels of another GPU or driver: new ones are compiled and replace them.
            kernels.deserialize(path.read_bytes())
        config.set_runtime_cache(kernels)
        self._kernels = kernels
        return self._engine.create_execution_context(config)

    def _require_tensors(self) -> None:
        engine, trt = self._engine, self._trt
        wanted = {spec.name: spec for spec in (self._plan.image, *self._plan.outputs)}
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        if set(names) != set(wanted):
            raise _mismatch(self._plan, ", ".join(wanted), ", ".join(names))
        for name in names:
            spec = wanted[name]
            is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
            found = (
                tuple(engine.get_tensor_shape(name)),
                engine.get_tensor_dtype(name).name,
                engine.get_tensor_location(name).name,
                engine.get_tensor_format(name).name,
                is_input,
            )
            expected = (
                spec.shape,
                DATA_TYPES[spec.dtype],
                "DEVICE",
                "LINEAR",
                spec == self._plan.image,
            )
            if found != expected:
                raise _mismatch(self._plan, f"{name} {expected}", f"{name} {found}")

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """Input tensor, then output tensors."""
        return (self._plan.image, *self._plan.outputs)


def _runtime(trt: ModuleType, plan: Plan, provider: Provider, heard: EngineLog) -> Any:
    try:
        runtime = trt.Runtime(logger_of(trt))
    except (TypeError, RuntimeError) as error:  # the binding reports a null pointer in this way
        raise _refused(plan, provider, heard) from error
    if plan.dla_core is not None:
        runtime.DLA_core = plan.dla_core
    return runtime


def _refused(plan: Plan, provider: Provider, heard: EngineLog) -> BackendError:
    return BackendError(
        f"{provider.title} refuses {plan.path}", found=heard.last_errors(), fix=_RECOMPILE
    )


def _mismatch(plan: Plan, expected: str, found: str) -> BackendError:
    return BackendError(
        f"The tensors of {plan.path} differ from the stated ones",
        expected=expected,
        found=found,
        fix=_RECOMPILE,
    )
