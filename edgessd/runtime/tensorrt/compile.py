"""Compile a graph to an engine with TensorRT's parser and builder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from edgessd.core.errors import BackendError, LoweringError
from edgessd.core.files import write_atomically
from edgessd.core.tensors import TensorSpec
from edgessd.runtime.tensorrt.build_log import EngineLog, collecting, logger_of
from edgessd.runtime.tensorrt.compiled_engine import (
    DATA_TYPES,
    NO_GPU,
    CompiledEngine,
    build_failure,
    dla_notes,
)
from edgessd.runtime.tensorrt.dialects import Dialect
from edgessd.runtime.tensorrt.layer_report import LayerReport, read_layer_report
from edgessd.runtime.tensorrt.options import EngineOptions
from edgessd.runtime.tensorrt.provider import Provider
from edgessd.runtime.tensorrt.trtexec import compile_with_trtexec


def compile_engine(
    weak: Path,
    strong: Path,
    options: EngineOptions,
    provider: Provider,
    *,
    tensors: Sequence[TensorSpec] = (),
    timing_cache: Path | None = None,
    log: Path | None = None,
) -> CompiledEngine:
    """Compile the graph in the form that the provider needs.

    Args:
        weak: The .onnx with float32 parameters, for a TensorRT that chooses types itself.
        strong: The .onnx with float16 types, for a TensorRT that takes types from the graph.
        options: Precision, DLA, memory, search.
        provider: From `find_provider`.
        tensors: Expected inputs and outputs of the engine, in the graph's order. Their types are set in
            a weakly typed network and checked in a strongly typed one.
        timing_cache: File of kernel timings, read if it exists and written back. They make the next build
            of a similar graph many times faster.
        log: File for TensorRT's messages, INFO and above.

    Raises:
        LoweringError: The parser refuses the graph; its message is part of the error.
        BackendError: The GPU, its memory or an option doesn't allow the build.
    """
    if provider.module is None:
        return compile_with_trtexec(
            weak, strong, options, provider, tensors=tensors, timing_cache=timing_cache, log=log
        )
    started = time.perf_counter()
    trt, dialect = provider.module, provider.dialect
    graph = strong if dialect.strongly_typed else weak
    with collecting(trt, log) as heard:
        builder = _make(lambda: trt.Builder(logger_of(trt)), "builder", provider, heard, log)
        network = builder.create_network(_network_flags(trt, dialect))
        config = builder.create_builder_config()
        _parse(trt, network, graph, provider, heard)
        _type_tensors(trt, network, tensors, dialect, graph)
        _configure(trt, builder, config, options, provider)
        timings = _load_timings(config, timing_cache) if dialect.timing_cache else None
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise build_failure(provider, heard.last_errors(), log, options)
        content = bytes(memoryview(plan))
        if timings is not None and timing_cache is not None:
            write_atomically(timing_cache, bytes(memoryview(timings.serialize())))
    report = None if options.compute_capabilities else _inspect(trt, content, options, provider)
    return CompiledEngine(
        content=content,
        typed="strongly" if dialect.strongly_typed else "weakly",
        report=report,
        seconds=time.perf_counter() - started,
        notes=dla_notes(report, options),
    )


def _make(create: Any, what: str, provider: Provider, heard: EngineLog, log: Path | None) -> Any:
    """Call a constructor of the binding and add the logged reason to the TypeError of a failure."""
    try:
        return create()
    except (TypeError, RuntimeError) as error:
        found = heard.last_errors() if heard.errors else str(error)
        raise BackendError(
            f"{provider.title} can't start its {what}",
            found=found,
            fix="It needs this machine's GPU and driver: `edgessd doctor` lists what is missing",
        ) from error


def _network_flags(trt: ModuleType, dialect: Dialect) -> int:
    flags = trt.NetworkDefinitionCreationFlag
    return sum(1 << int(getattr(flags, name)) for name in dialect.network_flags)


def _parse(
    trt: ModuleType, network: Any, graph: Path, provider: Provider, heard: EngineLog
) -> None:
    parser = trt.OnnxParser(network, logger_of(trt))
    if parser.parse(graph.read_bytes()):
        if network.num_outputs:
            return
        # The parser reads a damaged file as an empty graph.
        raise LoweringError(
            f"{provider.title} refuses {graph.name}",
            expected="a graph with outputs",
            found="none",
            fix="Copy the bundle again from where it was built",
        )
    refusals = []
    for index in range(parser.num_errors):
        error = parser.get_error(index)
        words = " ".join(line.strip() for line in error.desc().splitlines() if _about_graph(line))
        if provider.dialect.node_names and error.node_name():
            words = f"node {error.node_name()} ({error.node_operator()}): {words}"
        else:
            words = f"node number {error.node()}: {words}"
        refusals.append(words)
    raise LoweringError(
        f"{provider.title} refuses {graph.name}",
        found="; ".join(refusals) or heard.last_errors(),
        fix="Build the bundle again with the newest edgessd; report this message if the error remains",
    )


def _about_graph(line: str) -> bool:
    """Leave out a line on a missing driver, which a parser without a GPU adds."""
    return not NO_GPU.search(line)


def _type_tensors(
    trt: ModuleType, network: Any, tensors: Sequence[TensorSpec], dialect: Dialect, graph: Path
) -> None:
    """Set types and a plain memory layout of the network's inputs and outputs.

    A weakly typed network has float32 inputs and outputs unless int8 or float16 is set here. Without
    `LINEAR` the builder may choose a layout with padded channels.
    """
    borders = [network.get_input(index) for index in range(network.num_inputs)]
    borders += [network.get_output(index) for index in range(network.num_outputs)]
    wanted = {spec.name: spec for spec in tensors}
    if tensors and {tensor.name for tensor in borders} != set(wanted):
        raise LoweringError(
            f"The inputs and outputs of {graph.name} differ from those that its bundle states",
            expected=", ".join(sorted(wanted)),
            found=", ".join(sorted(tensor.name for tensor in borders)),
            fix="Build the bundle again with `edgessd build`",
        )
    for tensor in borders:
        spec = wanted.get(tensor.name)
        if spec is not None:
            data_type = getattr(trt.DataType, DATA_TYPES[spec.dtype])
            if tensor.dtype != data_type and not dialect.strongly_typed:
                tensor.dtype = data_type
            if tensor.dtype != data_type or tuple(tensor.shape) != spec.shape:
                raise LoweringError(
                    f"The tensor {tensor.name} of {graph.name} differs from what its bundle states",
                    expected=f"{spec.dtype} {spec.shape}",
                    found=f"{tensor.dtype} {tuple(tensor.shape)}",
                    fix="Build the bundle again with `edgessd build`",
                )
        tensor.allowed_formats = 1 << int(trt.TensorFormat.LINEAR)


def _configure(
    trt: ModuleType, builder: Any, config: Any, options: EngineOptions, provider: Provider
) -> None:
    dialect = provider.dialect
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mb << 20)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # for the layer report
    if dialect.optimization_level:
        config.builder_optimization_level = options.optimization_level
    if not dialect.strongly_typed:
        config.set_flag(trt.BuilderFlag.FP16)
        if options.precision == "int8":
            config.set_flag(trt.BuilderFlag.INT8)
    if options.dla_core is not None:
        if options.dla_core >= builder.num_DLA_cores:
            raise BackendError(
                f"{provider.title} has no DLA core {options.dla_core} here",
                expected=f"less than {builder.num_DLA_cores}" if builder.num_DLA_cores else None,
                found=f"{builder.num_DLA_cores} DLA cores",
                fix="Leave --dla out: the GPU runs everything",
            )
        config.default_device_type = trt.DeviceType.DLA
        config.DLA_core = options.dla_core
        config.set_flag(trt.BuilderFlag.GPU_FALLBACK)
    if options.compute_capabilities:
        _set_capabilities(trt, config, options.compute_capabilities, provider)


def _set_capabilities(
    trt: ModuleType, config: Any, capabilities: tuple[str, ...], provider: Provider
) -> None:
    if not provider.dialect.ahead_of_time:
        raise BackendError(
            f"{provider.title} compiles only for the GPU of its own machine",
            found=f"a request for compute capability {', '.join(capabilities)}",
            fix="Finish the bundle on the device: edgessd build --finish BUNDLE",
        )
    known = {
        f"{name[2:-1]}.{name[-1]}": value
        for name, value in trt.ComputeCapability.__members__.items()
        if name.startswith("SM")
    }
    unknown = [text for text in capabilities if text not in known]
    if unknown:
        raise BackendError(
            f"{provider.title} doesn't compile for this GPU",
            expected=f"a compute capability among {', '.join(known)}",
            found=", ".join(unknown),
            fix="Use TensorRT on that device: edgessd build --finish BUNDLE",
        )
    config.num_compute_capabilities = len(capabilities)
    for index, text in enumerate(capabilities):
        config.set_compute_capability(known[text], index)


def _load_timings(config: Any, path: Path | None) -> Any:
    """Attach the timings of earlier builds; TensorRT ignores timings of another GPU or version."""
    if path is None:
        return None
    for content in ([path.read_bytes()] if path.is_file() else []) + [b""]:
        try:
            timings = config.create_timing_cache(content)
        except (TypeError, RuntimeError):  # the bindings refuse a damaged file in this way
            continue
        if timings is not None and config.set_timing_cache(timings, ignore_mismatch=False):
            return timings
    return None


def _inspect(
    trt: ModuleType, content: bytes, options: EngineOptions, provider: Provider
) -> LayerReport | None:
    """Load the engine on its GPU and read its layers."""
    with collecting(trt) as heard:
        runtime = _make(lambda: trt.Runtime(logger_of(trt)), "runtime", provider, heard, None)
        if options.dla_core is not None:
            runtime.DLA_core = options.dla_core
        engine = runtime.deserialize_cuda_engine(content)
        if engine is None:
            raise build_failure(provider, heard.last_errors(), None, options)
        inspector = engine.create_engine_inspector()
        return read_layer_report(inspector.get_engine_information(trt.LayerInformationFormat.JSON))
